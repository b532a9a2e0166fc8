"""Warnings of a game between the networks that is being lost."""

import warnings

import keras

# So many epochs one after the other: single ones recover.
PATIENCE = 3

_ADVICE = (
    "Compare `lambda_joint='auto'`, a longer warm-up, a smaller rate of "
    "`discriminator_optimizer`, `batch_normalization=True` in the encoder"
)
# Each with a test of the generator's joint loss, which is the gap between the
# mean scores of both tuples, of the discriminator's loss, and of its lowest.
_STATES = (
    (
        "The generator's joint loss diverges: above 10, where a game in "
        "balance has about 1 to 5",
        lambda gap, loss, lowest: gap > 10,
        _ADVICE,
    ),
    (
        "The discriminator has won: its loss is below 0.1, so that hardly "
        "any score has a gradient left for it",
        lambda gap, loss, lowest: loss < 0.1,
        _ADVICE + ", all scores (`use_marginal_scores=True`)",
    ),
    (
        "The discriminator can no longer tell the two tuples apart: its loss "
        "has risen above 1.8, where 2 is that of no knowledge, and the joint "
        "loss teaches nothing",
        # At first it has yet to learn.
        lambda gap, loss, lowest: (
            loss > max(1.8, lowest + 0.1) and abs(gap) < 0.25
        ),
        "Compare a larger rate of `discriminator_optimizer`, more "
        "`discriminator_steps`, the decoder (`use_decoder=True`)",
    ),
)


class WarnOfCollapse(keras.callbacks.Callback):
    """Warns once of each way in which the game of encoder and decoder with
    the discriminator is lost, if it lasts for three epochs.

    The bounds part the runs in `results/` of this project that went wrong
    from those that did not.
    """

    def on_train_begin(self, logs=None):
        self._lasting = [0] * len(_STATES)
        self._lowest = float("inf")

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if not self.model.adversarial or "discriminator_loss" not in logs:
            return
        gap, loss = logs["generator_joint_loss"], logs["discriminator_loss"]
        self._lowest = min(self._lowest, loss)
        for index, (state, holds, advice) in enumerate(_STATES):
            if not holds(gap, loss, self._lowest):
                self._lasting[index] = 0
                continue
            self._lasting[index] += 1
            if self._lasting[index] == PATIENCE:
                warnings.warn(
                    f"{state}. Received, in epochs {epoch + 2 - PATIENCE} to "
                    f"{epoch + 1}: generator_joint_loss={gap:.3g}, "
                    f"discriminator_loss={loss:.3g} at last. {advice}.",
                    stacklevel=2,
                )
