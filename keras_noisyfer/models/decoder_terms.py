"""What a decoder learns beside the game: terms that are off by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.batches import Batch
from keras_noisyfer.labels import consensus
from keras_noisyfer.losses import noise_code_divergence, reconstruction_loss
from keras_noisyfer.losses.streams import stream_mean
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Labels, Shape, Tensor

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
    training: bool,
) -> Labels:
    """What the terms are computed from.

    Args:
        model: The model.
        outputs: The encoder's outputs.
        noise_code: The encoder's noise code of the images.
        training: Whether the networks run in training mode.

    Returns:
        A dict: with `reconstruction_weight`, the `reconstruction` of the
        images; with `auxiliary_weight`, `asked`, the predictions for the
        image before, and `read`, the encoder's raw outputs for an image
        that has that one's labels and its own noise code, and is moved a bit;
        every other one is mirrored.
    """
    decoded, raw = {}, outputs["labels"]
    raw = keras.tree.map_structure(ops.stop_gradient, raw)

    def image_of(noise_code, labels):
        codes = {"noise_code": noise_code, "labels": labels}
        return model.decoder(codes, training=training)

    if model.reconstruction_weight:
        labels = _decided(model, raw)
        decoded["reconstruction"] = image_of(noise_code, labels)
    if model.auxiliary_weight:
        raw = keras.tree.map_structure(lambda x: ops.roll(x, 1, axis=0), raw)
        # Of faces that there are: a code that is drawn leaves the decoder
        # free to draw patterns, the same ones for all codes.
        code = ops.stop_gradient(noise_code)
        image = image_of(code, _decided(model, raw))
        encoder = model.encoder
        # A pattern that is read in one place alone, or in no mirror, or in
        # single pixels would be no face.
        shift = draw_shift(encoder.image_shape, model.seed_generator)
        image = smooth(ops.roll(image, shift, axis=(1, 2)))
        mirrored = ops.arange(ops.shape(image)[0]) % 2 == 0
        mirrored = ops.reshape(mirrored, (-1, 1, 1, 1))
        image = ops.where(mirrored, ops.flip(image, axis=2), image)
        # An encoder that could learn from it would agree with the decoder on
        # patterns that are no faces.
        read, _ = encoder.stateless_call(
            [ops.stop_gradient(v.value) for v in encoder.trainable_variables],
            [v.value for v in encoder.non_trainable_variables],
            image,
            training=False,
        )
        asked = {t.name: t.activate(raw[t.name]) for t in model.tasks}
        decoded |= {"asked": asked, "read": read["labels"]}
    return decoded


def draw_shift(
    image_shape: Shape, seed_generator: keras.random.SeedGenerator
) -> Tensor:
    """Pixels by which a batch is moved down and right, an int32 tensor of two:
    at most a twenty-fourth of the height, at least one either way."""
    most = max(1, image_shape[0] // 24)
    return keras.random.randint((2,), -most, most + 1, seed=seed_generator)


def smooth(images: Tensor) -> Tensor:
    """Images `(n, height, width, channels)` whose pixels are the mean of those
    around them: of 3x3 from a height of 48, of 5x5 from one of 96, ..."""
    size = 1 + 2 * (images.shape[1] // 48)
    if size == 1:
        return images
    options = {"strides": 1, "padding": "same", "data_format": "channels_last"}
    return ops.average_pool(images, size, **options)


def _decided(model, raw):
    """The consensus of predictions as labels that the decoder is given, the
    same for all annotators: one class, or values."""
    labels = {}
    for task in model.tasks:
        label = consensus(task, raw[task.name], model.consensus)
        if isinstance(task, CategoricalTask):
            label = ops.one_hot(ops.argmax(label, axis=-1), task.num_classes)
        label = ops.expand_dims(label, axis=1)
        labels[task.name] = ops.repeat(label, task.annotators, axis=1)
    return labels


def _differences(model, asked, read, weights):
    """How far what was read is from what was predicted, 0 where they agree,
    so that nothing is gained by drawing more than that."""
    if weights is not None:
        # Those of the images that the labels are of.
        weights = ops.roll(weights, 1, axis=0)
    losses = {}
    for task in model.tasks:
        label, raw = asked[task.name], read[task.name]
        if isinstance(task, CategoricalTask):
            # The Kullback-Leibler divergence, over all streams.
            gap = ops.log(label + 1e-7) - ops.log_softmax(raw, axis=-1)
            each = ops.sum(label * gap, axis=(1, 2))
        else:
            each = ops.sum(ops.square(label - raw), axis=(1, 2))
        losses[task.name] = (
            ops.mean(each) if weights is None else stream_mean(each, weights)
        )
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
            loss = _differences(
                model, outputs["asked"], outputs["read"], weights
            )
        tracker.update_state(loss, batch.weight)
        total += getattr(model, argument) * loss
    return total
