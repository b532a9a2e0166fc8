"""Discriminator: scores of an image, a noise code and labels."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.labels import label_streams
from keras_noisyfer.layers import (
    LabelMLP,
    ResidualBlock,
    SelfAttention,
    SpectralDense,
)
from keras_noisyfer.networks.network import (
    NOISE_CODE_SIZE,
    Network,
    check_image_shape,
    label_inputs,
    scale_units,
)
from keras_noisyfer.tasks import check_tasks
from keras_noisyfer.typing import Shape, Tasks, Tensor

FILTERS = (64, 128, 256, 512, 512)
STREAM_UNITS = 512
JOINT_UNITS = 1024


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class Discriminator(Network):
    """Multi-stream discriminator D.

    Every variable has a stream of its own: residual blocks and
    self-attention for the image, a four-branch MLP for the noise code and
    for each label stream. Each stream's features give a marginal score; all
    of them together, through one more MLP, the joint score. All layers are
    spectrally normalized (Fig. 2 (b) and App. Fig. 1 (c) of the paper).

    Two parts can be called alone, so that a training step need not repeat or
    differentiate what it does not have to: `image_stream`, from images to
    features, and `score_head`, from `image_features`, `noise_code` and
    `labels` to scores.

    Args:
        tasks: Sequence of tasks.
        image_shape: `(size, size, channels)`; size 32, 48, 64, 96, 128 or
            256, 1 or 3 channels. Images larger than 32 are first halved by
            average pooling.
        width: Multiplier of all filters and hidden units. 1.0 gives the
            network of the authors' release.
        noise_code_size: Dimension of the noise code.
        dtype: Dtype policy of the layers.
        **kwargs: `name`, `trainable`.

    Call arguments:
        inputs: A dict: `image` of shape `(batch_size, size, size,
            channels)`, `noise_code` of shape
            `(batch_size, noise_code_size)` and `labels`, a dict by task name
            of encoded labels or raw outputs of shape
            `(batch_size, annotators, width)`.
        training: Whether to update the spectral norms.

    Returns:
        Scores of shape `(batch_size, streams + 3)` in the order of
        `score_names`: image, noise code, each label stream, joint.

    Raises:
        ValueError: if the image shape is not supported or an argument is out
            of its range.
    """

    def __init__(
        self,
        tasks: Tasks,
        image_shape: Shape,
        width: float = 1.0,
        noise_code_size: int = NOISE_CODE_SIZE,
        dtype: Any = None,
        **kwargs: Any,
    ):
        tasks = check_tasks(tasks)
        image_shape = check_image_shape(image_shape)
        options = {"dtype": dtype}
        image_stream = _image_stream(image_shape, width, options)
        score_head = _score_head(
            tasks,
            image_stream.output.shape[-1],
            width,
            noise_code_size,
            options,
        )

        images = keras.Input(image_shape, name="image")
        variables = {
            "noise_code": keras.Input((noise_code_size,), name="noise_code"),
            "labels": label_inputs(tasks),
        }
        scores = score_head(
            {"image_features": image_stream(images), **variables}
        )
        super().__init__(
            {"image": images, **variables},
            scores,
            arguments={
                "tasks": tasks,
                "image_shape": image_shape,
                "width": width,
                "noise_code_size": noise_code_size,
            },
            dtype=dtype,
            **kwargs,
        )
        self.image_stream = image_stream
        self.score_head = score_head
        self.score_names = score_names(tasks)

    def score_pair(
        self,
        encoded: dict[str, Any],
        decoded: dict[str, Any],
        training: bool = False,
        for_generators: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of two tuples in one pass.

        Args:
            encoded: Tuple of the encoder: a dict as the call arguments, with
                real images.
            decoded: Tuple of the decoder; without `image` it has that of the
                other.
            training: Whether the spectral norms are updated.
            for_generators: Whether it is they who are trained.

        Returns:
            Both tuples' scores, of shape `(batch_size, streams + 3)`, and the
            features of their images, one after the other.
        """
        images = encoded["image"]
        if "image" not in decoded:
            features = self.image_stream(images, training=training)
            features = ops.concatenate([features, features])
        elif for_generators:
            # Apart, since real images need no backward pass, and with the
            # spectral norms that the decoded ones have just updated.
            second = self.image_stream(decoded["image"], training=training)
            first = self.image_stream(images, training=False)
            features = ops.concatenate([first, second])
        else:
            images = ops.concatenate([images, decoded["image"]])
            features = self.image_stream(images, training=training)
        variables = keras.tree.map_structure(
            lambda *pair: ops.concatenate(pair),
            *(
                {key: each[key] for key in ("noise_code", "labels")}
                for each in (encoded, decoded)
            ),
        )
        scores = self.score_head(
            {"image_features": features, **variables}, training=training
        )
        return (*ops.split(scores, 2), features)

    def share_weights(
        self,
        score_weights: dict[str, float],
        use_joint: bool = True,
        use_marginal: bool = True,
    ) -> np.ndarray:
        """Weights of the scores that add up to 1.

        Args:
            score_weights: Dict of weights by score name; 1 where not given.
            use_joint: Whether the joint score takes part.
            use_marginal: Whether the other scores take part.

        Returns:
            Array of shape `(streams + 3,)`.

        Raises:
            ValueError: if a name or a weight is wrong, or no score is left.
        """
        if not isinstance(score_weights, dict):
            raise ValueError(
                "`score_weights` must be a dict by score name. "
                f"Received: {score_weights!r}"
            )
        unknown = sorted(set(score_weights) - set(self.score_names))
        if unknown:
            raise ValueError(
                "`score_weights` may only have the keys "
                f"{list(self.score_names)}. Received: keys={unknown}"
            )
        weights = []
        for name in self.score_names:
            used = use_joint if name == "joint" else use_marginal
            weight = score_weights.get(name, 1.0)
            check_number(f"score_weights['{name}']", weight, minimum=0)
            weights.append(weight if used else 0.0)
        if sum(weights) == 0:
            raise ValueError(
                "`use_joint_score`, `use_marginal_scores` and "
                "`score_weights` must leave at least one score. Received: "
                f"{use_joint}, {use_marginal}, {score_weights}"
            )
        return np.array(weights, "float32") / sum(weights)


def score_names(tasks: Tasks) -> tuple[str, ...]:
    """Names of the discriminator's scores, in order."""
    streams = [stream.name for stream in label_streams(tasks)]
    return ("image", "noise_code", *streams, "joint")


def _image_stream(image_shape, width, options):
    images = keras.Input(image_shape, name="image")
    x = images
    size = image_shape[0]
    if size > 32:
        x = layers.AveragePooling2D(2, name="pool", **options)(x)
        size //= 2
    for index, filters in enumerate(FILTERS, start=1):
        # A map of one position cannot be halved: 48x48 images get there
        # one block early.
        halve = size > 1
        x = ResidualBlock(
            scale_units(filters, width),
            halve=halve,
            first=index == 1,
            name=f"block_{index}",
            **options,
        )(x)
        size = size // 2 if halve else size
        if index == 1:
            x = SelfAttention(name="attention", **options)(x)
    x = ResidualBlock(
        scale_units(FILTERS[-1], width),
        halve=False,
        name=f"block_{len(FILTERS) + 1}",
        **options,
    )(x)
    x = layers.ReLU(name="relu", **options)(x)
    return keras.Model(images, ops.sum(x, axis=(1, 2)), name="image_stream")


def _score_head(tasks, num_features, width, noise_code_size, options):
    inputs = {
        "image_features": keras.Input((num_features,), name="image_features"),
        "noise_code": keras.Input((noise_code_size,), name="noise_code"),
        "labels": label_inputs(tasks),
    }

    def score(features, name):
        return SpectralDense(1, name=f"{name}_score", dtype="float32")(features)

    def stream(values, name):
        units = scale_units(STREAM_UNITS, width)
        return LabelMLP(units, name=f"{name}_stream", **options)(values)

    features = {
        "image": inputs["image_features"],
        "noise_code": stream(inputs["noise_code"], "noise_code"),
    }
    for task in tasks:
        labels = inputs["labels"][task.name]
        for each in task.streams:
            features[each.name] = stream(labels[:, each.annotator], each.name)
    scores = [score(values, name) for name, values in features.items()]
    joint = layers.Concatenate(name="all_features", **options)(
        list(features.values())
    )
    joint = LabelMLP(
        scale_units(JOINT_UNITS, width), name="joint_stream", **options
    )(joint)
    scores.append(score(joint, "joint"))
    scores = layers.Concatenate(name="scores", dtype="float32")(scores)
    return keras.Model(inputs, scores, name="score_head")
