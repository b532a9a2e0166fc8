"""The callbacks that every call of `fit` has."""

import math
import warnings
from typing import Any

import keras

from keras_noisyfer.averages import average_callbacks
from keras_noisyfer.checkpoints import ResumeTraining
from keras_noisyfer.metrics import monitor_modes
from keras_noisyfer.numerical_fault import (
    ALL_SKIPPED,
    NOT_VALID,
    SKIPPED,
    STOPPED,
    check_weights,
    make_fault,
)
from keras_noisyfer.optimizers import Schedule, optimizers_of, rate_of
from keras_noisyfer.typing import Logs

# On JAX the next step would take the variables' values meanwhile.
_ASYNC_SAFE = keras.backend.backend() == "tensorflow"


def all_callbacks(
    model: keras.Model, given: Any, x: Any
) -> list[keras.callbacks.Callback]:
    """The callbacks of a call of `fit`, the model's own among them.

    Args:
        model: The model.
        given: The callbacks that `fit` was given.
        x: The data, likewise.

    Raises:
        ValueError: if there are several `ResumeTraining`.
    """
    given = keras.tree.flatten(given or [])
    resume = [each for each in given if isinstance(each, ResumeTraining)]
    if len(resume) > 1:
        # Each would wind the data on.
        raise ValueError(
            "`callbacks` must have at most one ResumeTraining. "
            f"Received: {len(resume)}"
        )
    passing = PassOnLearningRate()
    for each in resume:
        each.prepare(x, passing.remember)
    others = [
        each
        for each in given
        # `StopAtFaults` does its work, and knows that the mean of no label is
        # NaN, too.
        if each not in resume
        and type(each) is not keras.callbacks.TerminateOnNaN
    ]
    return [
        # First, so that the others save a model whose epoch is counted and
        # whose last batch was sound.
        WatchMonitors(given),
        *model.make_callbacks(),
        *average_callbacks(model, others),
        passing,
        # Last, so that the state has what the others have changed.
        *resume,
    ]


def as_numbers(results: Any) -> Any:
    """Scalar results as floats: tensors, where Keras leaves them so (3.12)."""

    def convert(each):
        return float(each) if getattr(each, "shape", None) == () else each

    return keras.tree.map_structure(convert, results)


class CountEpochs(keras.callbacks.Callback):
    """Counts a model's epochs in `completed_epochs`, over calls of `fit`.

    Before each epoch the model may change its train step.
    """

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.model.make_train_function()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.model.completed_epochs.assign_add(1)


class StopAtFaults(keras.callbacks.Callback):
    """Stops training at a numerical fault, or tells of the batches that were
    left out.

    Raises:
        NumericalFault: after a batch, or a validation, whose `loss` in the
            logs is not finite; after an epoch that has left a weight not
            finite, or of which all batches were left out.
    """

    async_safe = _ASYNC_SAFE

    def on_train_begin(self, logs: Logs = None) -> None:
        self._warned = False

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch
        self.model.fault_guard.skipped.assign(0)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._batches = batch + 1
        if math.isfinite((logs or {}).get("loss", 0.0)):
            return
        # On JAX `self.model` has the values of the latest step.
        if not self.model.has_labels:
            return
        fault: Any = self.model.fault_guard.pop() or (None, "loss", [])
        raise make_fault(fault, STOPPED, self._epoch)

    def on_test_end(self, logs: Logs = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss) and not self.model.has_labels:
            raise ValueError(
                "`validation_data` must have labels of at least one task. "
                "Received: none"
            )
        if self.model.on_nonfinite == "raise" and not math.isfinite(loss):
            raise make_fault(
                (None, "validation loss", []), NOT_VALID, self._epoch
            )

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        skipped = int(self.model.fault_guard.skipped.numpy())
        fault: Any = self.model.fault_guard.pop() if skipped else None
        if skipped == self._batches:
            raise make_fault(fault, ALL_SKIPPED, epoch)
        # Before anybody saves them.
        check_weights(self.model)
        if skipped and not self._warned:
            self._warned = True
            warnings.warn(str(make_fault(fault, SKIPPED, epoch)), stacklevel=2)


class WatchMonitors(keras.callbacks.Callback):
    """Tells Keras' callbacks which values of a metric are better, and stops
    where one monitors a task without labels.

    Keras looks for that in its own containers of metrics alone.

    Args:
        callbacks: The callbacks of a call of `fit`.

    Raises:
        ValueError: after the first epoch, if a monitored value is of a task
            that the data has no label of.
    """

    async_safe = _ASYNC_SAFE

    def __init__(self, callbacks: Any):
        super().__init__()
        self._watched = [
            each
            for each in callbacks
            if isinstance(getattr(each, "monitor", None), str)
        ]

    def on_train_begin(self, logs: Logs = None) -> None:
        self._modes = monitor_modes(self.model.metrics)
        for each in self._watched:
            name = each.monitor.removeprefix("val_")
            if getattr(each, "mode", None) == "auto" and name in self._modes:
                each.mode = self._modes[name]

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        for each in self._watched:
            name = each.monitor
            if name.removeprefix("val_") in self._modes and math.isnan(
                (logs or {}).get(name, 0.0)
            ):
                data = "validation_data" if name.startswith("val_") else "x"
                raise ValueError(
                    f"`callbacks` must monitor a task with labels: `{data}` "
                    f"has none for {name}. Received: "
                    f"{type(each).__name__} of {name}, which is NaN"
                )


class WatchScale(keras.callbacks.Callback):
    """Warns after the first batch if no image has a value below 0."""

    async_safe = _ASYNC_SAFE

    def on_train_begin(self, logs: Logs = None) -> None:
        self._seen = False

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if not self._seen:
            self._seen = True
            self.model.tell_scale()


class PassOnLearningRate(keras.callbacks.Callback):
    """Changes the learning rates of a model's second optimizers by the factor
    that other callbacks change the first one's by.

    It stands behind them. A second one that was changed itself keeps its rate.
    """

    async_safe = _ASYNC_SAFE

    def on_train_begin(self, logs: Logs = None) -> None:
        self._optimizers = [
            each
            for each in optimizers_of(self.model)
            if not isinstance(rate_of(each), Schedule)
        ]
        if self.model.optimizer not in self._optimizers:
            self._optimizers = []
        self.remember()

    def remember(self) -> None:
        """Takes the rates for those that others change."""
        self._rates = self._read()
        self._ratios: dict[int, Any] = {}
        for index in range(len(self._rates)):
            self._keep_ratio(index, self._rates)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._pass_on()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._pass_on()

    def _pass_on(self):
        rates = self._read()
        for index, optimizer in enumerate(self._optimizers):
            if rates[index] != self._rates[index]:
                self._keep_ratio(index, rates)
            elif rates[0] != self._rates[0] and index in self._ratios:
                optimizer.learning_rate = self._ratios[index] * rates[0]
        self._rates = self._read()

    def _keep_ratio(self, index, rates):
        # At a rate of 0 there is none; the last one holds.
        if index and rates[0] > 0:
            self._ratios[index] = rates[index] / rates[0]

    def _read(self):
        # Of a mirrored variable too, which is no number.
        return [float(each.learning_rate.numpy()) for each in self._optimizers]


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

    def on_train_begin(self, logs: Logs = None) -> None:
        self._lasting = [0] * len(_STATES)
        self._lowest = float("inf")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        if not self.model.adversarial or "discriminator_loss" not in logs:
            return
        gap, loss = logs["generator_joint_loss"], logs["discriminator_loss"]
        if gap == loss == 0:
            # Of an epoch without an alternating step.
            return
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
