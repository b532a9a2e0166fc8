"""Spectrally normalized Dense and convolution layers.

`keras.layers.SpectralNormalization` overwrites the kernel on each training
call and passes no gradient through the spectral norm. Here, as in the method
of Miyato et al., the kernel stays what the optimizer made it, the layer
computes with `kernel / sigma`, and the gradient flows through sigma.
"""

from typing import Any

import keras
from keras import ops

from keras_noisyfer.layers.kernel_gradient import (
    Conv2D,
    attach_transposed_kernel,
    is_product_faster,
)
from keras_noisyfer.typing import Shape, Tensor

# The mixin stands before a layer, whose members it uses.
_AnyLayer: Any = object


class _SpectralNormalization(_AnyLayer):
    """Mixin over a layer with a `kernel`; see `SpectralDense`.

    The kernel is seen as a matrix W with one row an output channel, or as
    several such matrices. The state is the pair of left and right singular
    vectors u and v: in evaluation sigma = u^T W v needs both.
    """

    _epsilon = 1e-12

    def build(self, input_shape: Shape) -> None:
        if getattr(self, "data_format", "channels_last") != "channels_last":
            raise ValueError(
                "`data_format` must be 'channels_last', the layout of the "
                f"library's images. Received: {self.data_format!r}"
            )
        super().build(input_shape)
        *several, inputs, outputs = self._transposed_matrix().shape
        self.left_vector = self._add_vector("left_vector", several, outputs)
        self.right_vector = self._add_vector("right_vector", several, inputs)

    def _add_vector(self, name, several, size):
        return self.add_weight(
            name=name,
            # A column, ready for the products.
            shape=(*several, size, 1),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            trainable=False,
            # Power iterations lose their direction in low precision.
            dtype="float32",
            autocast=False,
        )

    def _transposed_matrix(self):
        """W^T: the kernel with the output channels as columns."""
        return ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))

    def normalized_kernel(self, training: bool = False) -> Tensor:
        """The kernel divided by its spectral norm; see `spectral_norm`."""
        kernel = ops.convert_to_tensor(self.kernel)
        return kernel / ops.cast(self.spectral_norm(training), kernel.dtype)

    def spectral_norm(self, training: bool = False) -> Tensor:
        """The largest singular value of each matrix, as estimated.

        Args:
            training: Whether to run one power iteration first and keep its
                singular vectors.

        Returns:
            A float32 scalar, or a tensor of shape `(matrices, 1, 1)`.
        """
        matrix = ops.cast(self._transposed_matrix(), "float32")
        left, right = self.left_vector, self.right_vector
        if training:
            right = self._unit(ops.matmul(ops.stop_gradient(matrix), left))
            self.right_vector.assign(right)
        # The iteration's second product is sigma's too.
        product = ops.matmul(ops.swapaxes(right, -1, -2), matrix)
        if training:
            left = self._unit(ops.swapaxes(ops.stop_gradient(product), -1, -2))
            self.left_vector.assign(left)
        sigma = ops.matmul(product, left)
        return sigma if len(sigma.shape) > 2 else ops.squeeze(sigma)

    def _unit(self, vector):
        square = ops.sum(ops.square(vector), axis=-2, keepdims=True)
        return vector * ops.rsqrt(ops.maximum(square, self._epsilon**2))

    # `Dense` saves its kernel and bias alone; `Layer` saves all variables.
    def save_own_variables(self, store: Any) -> None:
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        keras.layers.Layer.load_own_variables(self, store)

    def _matmul(self, inputs, training):
        # There are fewer outputs to divide than entries of the kernel.
        outputs = ops.matmul(inputs, self.kernel)
        return outputs / ops.cast(self.spectral_norm(training), outputs.dtype)

    def _add_bias(self, outputs):
        if self.use_bias:
            outputs = outputs + self.bias
        if self.activation is not None:
            outputs = self.activation(outputs)
        return outputs


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class SpectralDense(_SpectralNormalization, keras.layers.Dense):
    """`keras.layers.Dense` with a spectrally normalized kernel.

    `outputs = activation(inputs @ (kernel / sigma) + bias)`, sigma the
    largest singular value of the kernel as estimated by power iteration: one
    iteration a call with `training=True`, none otherwise. The gradient
    with respect to the kernel includes that of sigma; the singular vectors
    are constants to it.

    Args:
        units: Dimension of the output.
        **kwargs: The arguments of `keras.layers.Dense`.

    Call arguments:
        inputs: Tensor of shape `(..., input_dim)`.
        training: Whether to update the estimate of sigma.

    Reference:

    - [Miyato et al., 2018](https://arxiv.org/abs/1802.05957)
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return self._add_bias(self._matmul(inputs, training))


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class SpectralBranches(_SpectralNormalization, keras.layers.Layer):
    """Several spectrally normalized Dense layers side by side.

    One batched product in the place of `num_branches` small ones. Each
    branch has its own kernel, spectral norm and bias, as in `SpectralDense`.

    Args:
        units: Dimension of each branch's output.
        num_branches: Number of branches.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: Tensor of shape `(num_branches, batch_size, input_dim)`, or
            `(batch_size, input_dim)`, which every branch then reads.
        training: Whether to update the estimates of sigma.

    Returns:
        A tensor of shape `(num_branches, batch_size, units)`.
    """

    def __init__(self, units: int, num_branches: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.num_branches = num_branches
        # What the mixin reads of the Keras layers it is mixed into.
        self.use_bias = True
        self.activation = None

    def build(self, input_shape: Shape) -> None:
        # Glorot's limit for one branch; a batched kernel would be taken for
        # a convolution's.
        limit = (6.0 / (input_shape[-1] + self.units)) ** 0.5
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_branches, input_shape[-1], self.units),
            initializer=keras.initializers.RandomUniform(-limit, limit),
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(self.num_branches, 1, self.units),
            initializer="zeros",
        )
        super().build(input_shape)

    def _transposed_matrix(self):
        return ops.convert_to_tensor(self.kernel)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return self._add_bias(self._matmul(inputs, training))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(units=self.units, num_branches=self.num_branches)
        return config


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class SpectralConv2D(_SpectralNormalization, Conv2D):
    """`keras.layers.Conv2D` with a spectrally normalized kernel.

    The kernel's matrix has one row an output channel, as in `SpectralDense`.

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel.
        **kwargs: The arguments of `keras.layers.Conv2D`.

    Call arguments:
        inputs: Tensor of shape `(batch_size, height, width, channels)`.
        training: Whether to update the estimate of sigma.

    Reference:

    - [Miyato et al., 2018](https://arxiv.org/abs/1802.05957)
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        kernel = self.normalized_kernel(training)
        return self._add_bias(self.convolution_op(inputs, kernel))


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class SpectralConv2DTranspose(
    _SpectralNormalization, keras.layers.Conv2DTranspose
):
    """`keras.layers.Conv2DTranspose` with a spectrally normalized kernel.

    The kernel's matrix has one row an output channel, as in `SpectralDense`.

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel.
        **kwargs: The arguments of `keras.layers.Conv2DTranspose`.

    Call arguments:
        inputs: Tensor of shape `(batch_size, height, width, channels)`.
        training: Whether to update the estimate of sigma.

    Reference:

    - [Miyato et al., 2018](https://arxiv.org/abs/1802.05957)
    """

    def _transposed_matrix(self):
        # The kernel's shape is (height, width, outputs, inputs).
        kernel = ops.swapaxes(self.kernel, -1, -2)
        return ops.reshape(kernel, (-1, kernel.shape[-1]))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        def convolve(kernel):
            return ops.conv_transpose(
                inputs,
                kernel,
                strides=list(self.strides),
                padding=self.padding,
                output_padding=self.output_padding,
                dilation_rate=self.dilation_rate,
                data_format=self.data_format,
            )

        kernel = self.normalized_kernel(training)
        doubles = (
            self.strides == (2, 2)
            and self.kernel_size == (4, 4)
            and self.padding == "same"
            and self.output_padding is None
            and self.dilation_rate == (1, 1)
        )
        shape = self.compute_output_shape(inputs.shape)
        if doubles and is_product_faster(shape[1], shape[2], kernel):
            outputs = attach_transposed_kernel(convolve, inputs, kernel)
        else:
            outputs = convolve(kernel)
        return self._add_bias(outputs)
