"""Encoder: from an image to a noise code and label streams."""

from typing import Any

import keras
from keras import layers, ops

from keras_noisyfer.arguments import describe, one_line
from keras_noisyfer.layers import Conv2D
from keras_noisyfer.networks.network import (
    NOISE_CODE_SIZE,
    Network,
    batch_normalization_layer,
    check_image_shape,
    scale_units,
)
from keras_noisyfer.tasks import check_tasks
from keras_noisyfer.typing import Shape, Tasks, Tensor
from keras_noisyfer.value_checks import (
    check_images,
    is_known,
    one_line_errors,
)

# Filters of the VGG-16 convolutions; a 2x2 max pooling ends each group.
VGG16_GROUPS = (
    (64, 64),
    (128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (512, 512, 512),
)
HEADS = ("mean", "log_variance", "label_streams")


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class Encoder(Network):
    """Encoder G_Y: predicts the labels and the noise code of an image.

    VGG-16 convolutions, two Dense layers with dropout, and Dense heads for
    the mean and log-variance of the noise code and for the label streams
    (App. Fig. 1 (a) of the paper). A backbone takes the place of the
    convolutions: its feature maps are averaged, a vector is taken as it is.

    Args:
        tasks: Sequence of tasks; the encoder has one head a label stream.
        image_shape: `(size, size, channels)`; size 32, 48, 64, 96, 128 or
            256, 1 or 3 channels.
        width: Multiplier of all filters and hidden units. 1.0 gives the
            network of the authors' release.
        hidden_units: Units of the two Dense layers before `width`: 512 in
            the release's CIFAR-10 model, 500 in its face models.
        noise_code_size: Dimension of the noise code.
        batch_normalization: Whether to normalize each convolution's output.
            The paper's encoder does not, but without it small data sets do
            not leave their plateau.
        dropout: Rate of the dropout after the two Dense layers.
        backbone: Optional `keras.Model` from images to feature maps or to a
            vector, such as those of `keras.applications` with
            `include_top=False`, of KerasHub, or your own, trained or not.
            With `backbone.trainable = False` it is frozen. It becomes a part
            of the encoder, and its weights are saved with it. What its
            regularizers and `add_loss` add is minimized too.
        preprocessing: Optional Keras layer from images in [-1, 1] to what
            the backbone was trained with, such as
            `keras.layers.Rescaling(127.5, 127.5)` for pixels.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Images in [-1, 1], shape `(batch_size, size, size, channels)`.
        training: Whether to apply dropout and update batch statistics.

    Returns:
        A dict: `features`, which all heads share, of shape
        `(batch_size, units)`; `mean` and `log_variance` of the noise code,
        each `(batch_size, noise_code_size)`; and `labels`, a dict by task name
        of raw outputs (logits; values before clipping) of shape
        `(batch_size, annotators, width)`.

    Raises:
        ValueError: if the image shape is not supported, an argument is out
            of its range, or the backbone does not fit.

    Examples:

    >>> tasks = [CategoricalTask("object", num_classes=10, annotators=3)]
    >>> encoder = Encoder(tasks, image_shape=(32, 32, 3))
    >>> encoder.count_params()
    15357990

    >>> backbone = keras.applications.MobileNetV3Small(
    ...     input_shape=(96, 96, 3), include_top=False
    ... )
    >>> rescaling = keras.layers.Rescaling(127.5, 127.5)
    >>> encoder = Encoder(
    ...     tasks, (96, 96, 3), backbone=backbone, preprocessing=rescaling
    ... )
    """

    def __init__(
        self,
        tasks: Tasks,
        image_shape: Shape,
        width: float = 1.0,
        hidden_units: int = 512,
        noise_code_size: int = NOISE_CODE_SIZE,
        batch_normalization: bool = False,
        dropout: float = 0.5,
        backbone: keras.Model | None = None,
        preprocessing: keras.Layer | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ):
        tasks = check_tasks(tasks)
        image_shape = check_image_shape(image_shape)
        options = {"dtype": dtype}

        images = keras.Input(image_shape, name="image")
        if backbone is None:
            if preprocessing is not None:
                raise ValueError(
                    "`preprocessing` must be None without a `backbone`. "
                    f"Received: {preprocessing}"
                )
            x = _vgg(images, width, batch_normalization, options)
        else:
            if batch_normalization:
                raise ValueError(
                    "`batch_normalization` must be False with a `backbone`, "
                    "which has its own or none. Received: True"
                )
            x = _apply_backbone(backbone, preprocessing, images)

        # === Embedding ===
        for index in (1, 2):
            x = layers.Dense(
                scale_units(hidden_units, width),
                activation="relu",
                name=f"embedding_{index}",
                **options,
            )(x)
            x = layers.Dropout(dropout, name=f"dropout_{index}", **options)(x)

        # === Heads ===
        # float32 whatever the policy: scores and losses need it.
        x = ops.cast(x, "float32")
        float32 = {"dtype": "float32"}
        heads = [
            layers.Dense(noise_code_size, name=HEADS[0], **float32),
            layers.Dense(noise_code_size, name=HEADS[1], **float32),
            # One Dense layer holds the heads of all streams, one after
            # another.
            layers.Dense(
                sum(task.annotators * task.num_outputs for task in tasks),
                name=HEADS[2],
                **float32,
            ),
        ]
        outputs = {"features": x, **_apply_heads(heads, tasks, x)}
        super().__init__(
            images,
            outputs,
            arguments={
                "tasks": tasks,
                "image_shape": image_shape,
                "width": width,
                "hidden_units": hidden_units,
                "noise_code_size": noise_code_size,
                "batch_normalization": batch_normalization,
                "dropout": dropout,
                "backbone": backbone,
                "preprocessing": preprocessing,
            },
            dtype=dtype,
            **kwargs,
        )

    def __call__(
        self, inputs: Tensor, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        # In `call` Keras would make many lines of an error.
        check_images(inputs, self.image_shape)
        return super().__call__(inputs, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The outputs for images; the arguments are those of
        `keras.Model.predict`."""
        if hasattr(x, "shape") and is_known(x) and x.shape[:1] != (0,):
            check_images(x, self.image_shape)
        with one_line_errors():
            return super().predict(x, *args, **kwargs)

    def encode(self, images: Tensor, training: bool = True) -> dict[str, Any]:
        """The outputs for a training batch, and under `added_loss` the sum of
        the losses that the layers add themselves, a scalar."""
        outputs = self(images, training=training)
        # At once: the next call of a layer forgets them.
        added = [ops.sum(ops.cast(each, "float32")) for each in self.losses]
        return {**outputs, "added_loss": sum(added, ops.zeros(()))}

    def apply_heads(self, features: Tensor) -> dict[str, Any]:
        """What the heads make of the features that they share.

        Args:
            features: `features` of the outputs, or others of their shape.

        Returns:
            The other outputs, a dict.
        """
        heads = [self.get_layer(name) for name in HEADS]
        return _apply_heads(heads, self.tasks, features)


def _vgg(x, width, batch_normalization, options):
    """VGG-16's convolutions, and the last map as a vector."""
    for group, filters_of_group in enumerate(VGG16_GROUPS, start=1):
        for index, filters in enumerate(filters_of_group, start=1):
            name = f"group_{group}_convolution_{index}"
            x = Conv2D(
                scale_units(filters, width),
                3,
                padding="same",
                use_bias=not batch_normalization,
                kernel_initializer=keras.initializers.VarianceScaling(
                    2.0, "fan_out", "untruncated_normal"
                ),
                name=name,
                **options,
            )(x)
            if batch_normalization:
                x = batch_normalization_layer(
                    name=f"{name}_normalization", **options
                )(x)
            x = layers.ReLU(name=f"{name}_relu", **options)(x)
        x = layers.MaxPooling2D(2, name=f"group_{group}_pool", **options)(x)
    return layers.Flatten(name="flatten", **options)(x)


def _apply_backbone(backbone, preprocessing, images):
    """A backbone's features of images, as a vector."""
    for name, given, kind in (
        ("backbone", backbone, keras.Model),
        ("preprocessing", preprocessing or layers.Identity(), keras.Layer),
    ):
        if not isinstance(given, kind):
            raise ValueError(
                f"`{name}` must be a keras.{kind.__name__}. Received: {given!r}"
            )
    x = images if preprocessing is None else preprocessing(images)
    try:
        x = backbone(x)
    except Exception as error:
        raise ValueError(
            f"`backbone` must take images of shape {tuple(images.shape)}. "
            f"Received: {backbone.name!r}, {one_line(error, 200)}"
        ) from None
    rank = len(getattr(x, "shape", ()))
    if rank not in (2, 4):
        raise ValueError(
            "`backbone` must make feature maps or a vector of an image, one "
            f"tensor of rank 4 or 2. Received: {describe(x)}"
        )
    if rank == 4:
        x = layers.GlobalAveragePooling2D(name="backbone_pool")(x)
    return x


def _apply_heads(heads, tasks, features):
    mean, log_variance, streams = [head(features) for head in heads]
    labels, start = {}, 0
    for task in tasks:
        stop = start + task.annotators * task.num_outputs
        labels[task.name] = ops.reshape(
            streams[:, start:stop], (-1, task.annotators, task.num_outputs)
        )
        start = stop
    return {"mean": mean, "log_variance": log_variance, "labels": labels}
