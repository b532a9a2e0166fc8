"""Decoder: from a noise code and labels to an image."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_noisyfer.labels import encode_complete_labels
from keras_noisyfer.layers import SpectralConv2DTranspose, SpectralDense
from keras_noisyfer.networks.network import (
    NOISE_CODE_SIZE,
    Network,
    batch_normalization_layer,
    check_image_shape,
    label_inputs,
    scale_units,
)
from keras_noisyfer.tasks import check_tasks
from keras_noisyfer.typing import Labels, Shape, Tasks

# Image size: (size of the first map, filters of the transposed convolutions
# but the last). The release has 32, 64 and 128; the others follow its pattern.
STAGES = {
    32: (1, (512, 512, 256, 128)),
    48: (3, (512, 256, 128)),
    64: (1, (512, 512, 256, 128, 64)),
    96: (3, (512, 256, 128, 64)),
    128: (1, (512, 512, 512, 256, 128, 64)),
    256: (1, (512, 512, 512, 256, 128, 64, 32)),
}


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class Decoder(Network):
    """Decoder G_X: makes an image from a noise code and labels.

    A Dense layer, then transposed 4x4 convolutions that each double the map,
    with batch normalization and ReLU; tanh at the end. All Dense and
    convolution layers are spectrally normalized (App. Fig. 1 (b) of the
    paper).

    Args:
        tasks: Sequence of tasks.
        image_shape: `(size, size, channels)`; size 32, 48, 64, 96, 128 or
            256, 1 or 3 channels.
        width: Multiplier of all filters and hidden units. 1.0 gives the
            network of the authors' release.
        noise_code_size: Dimension of the noise code.
        dtype: Dtype policy of the layers.
        **kwargs: `name`, `trainable`.

    Call arguments:
        inputs: A dict: `noise_code` of shape `(batch_size, noise_code_size)`
            and `labels`, a dict by task name of encoded labels (one-hot;
            values) of shape `(batch_size, annotators, width)`.
        training: Whether to update batch statistics and spectral norms.

    Returns:
        Images in [-1, 1], shape `(batch_size, size, size, channels)`.

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
        size, _, channels = image_shape
        first_size, stages = STAGES[size]
        options = {"dtype": dtype}

        # === Inputs ===
        inputs = {
            "noise_code": keras.Input((noise_code_size,), name="noise_code"),
            "labels": label_inputs(tasks),
        }
        x = layers.Concatenate(name="code", **options)(
            [
                inputs["noise_code"],
                *(
                    ops.reshape(
                        inputs["labels"][task.name],
                        (-1, task.annotators * task.num_outputs),
                    )
                    for task in tasks
                ),
            ]
        )

        # === First map ===
        filters = scale_units(512, width)
        x = SpectralDense(
            first_size * first_size * filters,
            activation="relu",
            name="projection",
            **options,
        )(x)
        x = layers.Reshape(
            (first_size, first_size, filters), name="first_map", **options
        )(x)

        # === Transposed convolutions ===
        for index, filters in enumerate(stages, start=1):
            name = f"convolution_{index}"
            x = SpectralConv2DTranspose(
                scale_units(filters, width),
                4,
                strides=2,
                padding="same",
                name=name,
                **options,
            )(x)
            x = batch_normalization_layer(
                name=f"{name}_normalization",
                **options,
            )(x)
            x = layers.ReLU(name=f"{name}_relu", **options)(x)
        x = SpectralConv2DTranspose(
            channels,
            4,
            strides=2,
            padding="same",
            name="image_convolution",
            **options,
        )(x)
        images = layers.Activation("tanh", name="image", dtype="float32")(x)

        super().__init__(
            inputs,
            images,
            arguments={
                "tasks": tasks,
                "image_shape": image_shape,
                "width": width,
                "noise_code_size": noise_code_size,
            },
            dtype=dtype,
            **kwargs,
        )

    def generate(
        self, labels: Labels, seed: Any = None, batch_size: int = 128
    ) -> np.ndarray:
        """Images for given labels.

        Args:
            labels: Dict by task name of complete labels: class ids of shape
                `(n,)` or `(n, annotators)`; values of shape
                `(n, dimensions)` or `(n, annotators, dimensions)`. A label
                without annotator axis counts for all annotators.
            seed: Seed of the noise code: an integer, a
                `keras.random.SeedGenerator` or None.
            batch_size: Number of images decoded at once.

        Returns:
            A float32 array of shape `(n, size, size, channels)`, in [-1, 1].

        Raises:
            ValueError: if a label is missing, unknown or out of its range.
        """
        encoded = encode_complete_labels(self.tasks, labels)
        count = encoded[self.tasks[0].name].shape[0]
        noise = keras.random.normal((count, self.noise_code_size), seed=seed)
        inputs = {"noise_code": noise, "labels": encoded}
        images = []
        for start in range(0, count, batch_size):
            end = start + batch_size
            part = keras.tree.map_structure(lambda x: x[start:end], inputs)  # noqa: B023
            images.append(ops.convert_to_numpy(self(part, training=False)))
        return np.concatenate(images)
