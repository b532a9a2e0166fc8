"""What a decoder learns beside the game: terms that are off by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.batches import Batch
from keras_noisyfer.losses import noise_code_divergence, reconstruction_loss
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Labels, Tensor

if TYPE_CHECKING:
    from keras_noisyfer.models import JointDistributionGAN

# The weight of each term, and its name in the logs.
TERMS = {
    "reconstruction_weight": "reconstruction_loss",
    "kl_weight": "kl_divergence",
    "auxiliary_weight": "auxiliary_loss",
}


def check_weights(model: JointDistributionGAN) -> None:
    """Raises `ValueError` if the GAN cannot have the weights it has."""
    for argument in TERMS:
        weight = getattr(model, argument)
        check_number(argument, weight, minimum=0)
        if weight and not model.use_decoder:
            raise ValueError(
                f"`{argument}` must be 0 without a decoder. Received: {weight}"
            )


def make_trackers(
    model: JointDistributionGAN,
) -> dict[str, keras.metrics.Metric]:
    """The mean of each term that has a weight, a dict by argument."""
    return {
        argument: keras.metrics.Mean(name)
        for argument, name in TERMS.items()
        if getattr(model, argument)
    }


def decode(
    model: JointDistributionGAN,
    outputs: Labels,
    noise_code: Tensor,
    drawn_code: Tensor,
    training: bool,
) -> Labels:
    """What the terms are computed from.

    Args:
        model: The model.
        outputs: The encoder's outputs.
        noise_code: The encoder's noise code of the images.
        drawn_code: Gaussian noise of the same shape.
        training: Whether the networks run in training mode.

    Returns:
        A dict: with `reconstruction_weight`, the `reconstruction` of the
        images; with `auxiliary_weight`, `asked`, the predicted labels of
        another image of the batch, and `read`, the encoder's raw outputs for
        an image that was decoded for them.
    """
    decoded, raw = {}, outputs["labels"]
    labels = {t.name: t.activate(raw[t.name]) for t in model.tasks}
    if model.reconstruction_weight:
        codes = {"noise_code": noise_code, "labels": labels}
        decoded["reconstruction"] = model.decoder(codes, training=training)
    if model.auxiliary_weight:
        asked = {
            name: ops.roll(ops.stop_gradient(each), 1, axis=0)
            for name, each in labels.items()
        }
        codes = {"noise_code": drawn_code, "labels": asked}
        image = model.decoder(codes, training=training)
        encoder = model.encoder
        # An encoder that could learn from it would agree with the decoder on
        # patterns that are no faces.
        read, _ = encoder.stateless_call(
            [ops.stop_gradient(v.value) for v in encoder.trainable_variables],
            [v.value for v in encoder.non_trainable_variables],
            image,
            training=False,
        )
        decoded |= {"asked": asked, "read": read["labels"]}
    return decoded


def _differences(model, asked, read):
    """How far what was read is from what was asked for, 0 where they agree,
    so that nothing is gained by drawing more than that."""
    losses = {}
    for task in model.tasks:
        label, raw = asked[task.name], read[task.name]
        if isinstance(task, CategoricalTask):
            # The Kullback-Leibler divergence, over all streams.
            gap = ops.log(label + 1e-7) - ops.log_softmax(raw, axis=-1)
            each = ops.sum(label * gap, axis=(1, 2))
        else:
            each = ops.sum(ops.square(label - raw), axis=(1, 2))
        losses[task.name] = ops.mean(each)
    return model.weigh_task_losses(losses)


def weigh(
    model: JointDistributionGAN, batch: Batch, outputs: Labels
) -> Tensor | float:
    """The sum of the terms by their weights; updates their means."""
    weights, total = batch.image_weights, 0.0
    for argument, tracker in model.decoder_trackers.items():
        if argument == "reconstruction_weight":
            reconstruction = outputs["reconstruction"]
            loss = reconstruction_loss(batch.images, reconstruction, weights)
        elif argument == "kl_weight":
            code = outputs["mean"], outputs["log_variance"]
            loss = noise_code_divergence(*code, weights)
        else:
            loss = _differences(model, outputs["asked"], outputs["read"])
        tracker.update_state(loss, batch.weight)
        total += getattr(model, argument) * loss
    return total
