"""Residual block of the discriminator's image stream."""

from typing import Any

import keras
from keras import ops

from keras_noisyfer.layers.spectral_normalization import SpectralConv2D
from keras_noisyfer.typing import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class ResidualBlock(keras.layers.Layer):
    """Two spectrally normalized 3x3 convolutions beside a shortcut.

    `(ReLU unless first) -> conv 3x3 -> ReLU -> conv 3x3 -> average pool`,
    plus `conv 1x1 -> average pool` of the unchanged input; App. Fig. 2 (a) of
    the paper. The shortcut has a convolution where the channels change or
    the block halves the map.

    Args:
        filters: Number of output channels, and of channels between the two
            convolutions.
        halve: Whether to halve height and width by average pooling.
        first: Whether this is the first block of a network: then its input
            is an image, to which no ReLU is applied.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch_size, height, width, channels)`.
        training: Whether to update the spectral norms.

    Returns:
        A tensor of shape `(batch_size, height // 2, width // 2, filters)`, or
        `(batch_size, height, width, filters)` without `halve`.
    """

    def __init__(
        self,
        filters: int,
        halve: bool = True,
        first: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.halve = halve
        self.first = first

    def build(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        self.convolution_1 = self._convolution("convolution_1", 3, channels)
        self.convolution_2 = self._convolution("convolution_2", 3, self.filters)
        self.shortcut = None
        if self.halve or channels != self.filters:
            self.shortcut = self._convolution("shortcut", 1, channels)

    def _convolution(self, name, size, channels):
        layer = SpectralConv2D(
            self.filters,
            size,
            padding="same",
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, None, None, channels))
        return layer

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        outputs = inputs if self.first else ops.relu(inputs)
        outputs = self.convolution_1(outputs, training=training)
        outputs = self.convolution_2(ops.relu(outputs), training=training)
        shortcut = inputs
        if self.halve:
            outputs = ops.average_pool(outputs, 2, 2)
            # Pooling commutes with a 1x1 convolution and is a quarter of
            # the work when done first.
            shortcut = ops.average_pool(shortcut, 2, 2)
        if self.shortcut is not None:
            shortcut = self.shortcut(shortcut, training=training)
        return outputs + shortcut

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch_size, height, width, _ = input_shape
        if self.halve:
            height, width = height // 2, width // 2
        return (batch_size, height, width, self.filters)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(filters=self.filters, halve=self.halve, first=self.first)
        return config
