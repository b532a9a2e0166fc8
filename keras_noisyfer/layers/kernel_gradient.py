"""Convolutions whose kernel gradient is fast on small maps.

oneDNN, with which TensorFlow computes convolutions on a CPU, takes 2 to 10
times longer than a matrix product for the gradient of a kernel over a map of
some positions. The deepest layers of all three networks have such maps. Only
the way of computing that gradient differs from Keras' layers.
"""

from collections.abc import Callable

import keras

from keras_noisyfer.typing import Tensor

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

# Of the larger of the two maps. On 8x8 maps oneDNN is the faster one.
_MAX_POSITIONS = 16
# Of inputs and outputs: with fewer channels there is little to gain.
_MIN_CHANNEL_PAIRS = 256 * 256


def is_product_faster(
    height: int | None, width: int | None, kernel: Tensor
) -> bool:
    """Whether a kernel's gradient is to be a matrix product."""
    return (
        keras.backend.backend() == "tensorflow"
        and height is not None
        and width is not None
        and height * width <= _MAX_POSITIONS
        and kernel.shape[-1] * kernel.shape[-2] >= _MIN_CHANNEL_PAIRS
        and not tf.config.list_physical_devices("GPU")
    )


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a fast kernel gradient on small maps.

    Args:
        *args: The arguments of `keras.layers.Conv2D`.
        **kwargs: Likewise.
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        plain = (
            self.strides == self.dilation_rate == (1, 1)
            and self.padding == "same"
            and self.groups == 1
            and self.kernel_size[0] == self.kernel_size[1]
            and self.kernel_size[0] % 2
            and self.kernel_size[0] > 1
        )
        if not plain or not is_product_faster(
            inputs.shape[1], inputs.shape[2], kernel
        ):
            return super().convolution_op(inputs, kernel)
        kernel = tf.convert_to_tensor(kernel)
        outputs = super().convolution_op(inputs, tf.stop_gradient(kernel))
        return _attach_kernel(outputs, kernel, inputs, transposed=False)


def attach_transposed_kernel(
    convolve: Callable[[Tensor], Tensor], inputs: Tensor, kernel: Tensor
) -> Tensor:
    """A transposed convolution of stride 2 with the fast kernel gradient.

    Args:
        convolve: Function of a kernel that convolves `inputs`.
        inputs: Tensor of shape `(batch_size, height, width, channels)`.
        kernel: Tensor of shape `(4, 4, outputs, channels)`.

    Returns:
        What `convolve` returns, twice as high and wide as `inputs`.
    """
    outputs = convolve(tf.stop_gradient(kernel))
    return _attach_kernel(outputs, kernel, inputs, transposed=True)


def _attach_kernel(outputs, kernel, inputs, transposed):
    size = kernel.shape[0]

    @tf.custom_gradient
    def attach(outputs, kernel, inputs):
        def backward(upstream):
            if transposed:
                gradient = _sum_products(upstream, inputs, size, stride=2)
            else:
                gradient = _sum_products(inputs, upstream, size, stride=1)
            return upstream, gradient, None

        return tf.identity(outputs), backward

    return attach(outputs, kernel, tf.stop_gradient(inputs))


def _sum_products(images, positions, size, stride):
    """The kernel's gradient: the sum over all positions of the products of
    the patch of the image there with the values at the position.

    Args:
        images: Shape `(batch_size, stride * height, stride * width, n)`.
        positions: Shape `(batch_size, height, width, m)`.
        size: Height and width of the patches.
        stride: Distance of the patches.

    Returns:
        Shape `(size, size, n, m)`.
    """
    height, width, channels = positions.shape[1:]
    before = (size - stride) // 2
    padding = [before, size - stride - before]
    padded = tf.pad(images, [[0, 0], padding, padding, [0, 0]])
    shifted = [
        padded[
            :,
            row : row + stride * (height - 1) + 1 : stride,
            column : column + stride * (width - 1) + 1 : stride,
        ]
        for row in range(size)
        for column in range(size)
    ]
    patches = tf.concat(shifted, axis=-1)
    product = tf.matmul(
        tf.reshape(patches, (-1, patches.shape[-1])),
        tf.reshape(positions, (-1, channels)),
        transpose_a=True,
    )
    return tf.reshape(product, (size, size, images.shape[-1], channels))
