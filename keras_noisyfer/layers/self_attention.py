"""Self-attention over the positions of a feature map."""

import keras
from keras import ops

from keras_noisyfer.layers.spectral_normalization import SpectralConv2D
from keras_noisyfer.typing import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class SelfAttention(keras.layers.Layer):
    """Self-attention with a learned weight, as in SAGAN.

    `outputs = scale * o(g(x) softmax(theta(x)^T phi(x))^T) + x`, where theta,
    phi, g and o are spectrally normalized 1x1 convolutions without bias, to
    C/8, C/8, C/2 and C channels; phi and g are max-pooled 2x2. `scale` starts
    at 0, so that the layer starts as the identity. App. Fig. 2 (b) of the
    paper.

    Call arguments:
        inputs: Tensor of shape `(batch_size, height, width, channels)`, with
            even height and width.
        training: Whether to update the spectral norms.

    Returns:
        A tensor of the shape of `inputs`.

    Reference:

    - [Zhang et al., 2019](https://arxiv.org/abs/1805.08318)
    """

    def build(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        reduced = max(channels // 8, 1)
        half = max(channels // 2, 1)
        self.theta = self._projection("theta", reduced, channels)
        self.phi = self._projection("phi", reduced, channels)
        self.g = self._projection("g", half, channels)
        self.o = self._projection("o", channels, half)
        self.scale = self.add_weight(
            name="scale", shape=(), initializer="zeros"
        )

    def _projection(self, name, filters, channels):
        layer = SpectralConv2D(
            filters, 1, use_bias=False, dtype=self.dtype_policy, name=name
        )
        layer.build((None, None, None, channels))
        return layer

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        height, width, channels = inputs.shape[1:]

        def flatten(features, positions):
            return ops.reshape(features, (-1, positions, features.shape[-1]))

        positions = height * width
        theta = flatten(self.theta(inputs, training=training), positions)
        phi = ops.max_pool(self.phi(inputs, training=training), 2, 2)
        phi = flatten(phi, positions // 4)
        g = ops.max_pool(self.g(inputs, training=training), 2, 2)
        g = flatten(g, positions // 4)
        attention = ops.softmax(
            ops.matmul(theta, ops.swapaxes(phi, 1, 2)), axis=-1
        )
        attended = ops.matmul(attention, g)
        attended = ops.reshape(
            attended, (-1, height, width, attended.shape[-1])
        )
        attended = self.o(attended, training=training)
        return ops.cast(self.scale, inputs.dtype) * attended + inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
