"""Spectrally normalised Dense and convolution layers.

`keras.layers.SpectralNormalization` overwrites the kernel on each training
call and passes no gradient through the spectral norm. Here, as in the method
of Miyato et al., the kernel stays what the optimizer made it, the layer
computes with `kernel / sigma`, and the gradient flows through sigma.
"""

import keras
from keras import ops


class _SpectralNormalization:
    """Mixin over a layer with a `kernel`; see `SpectralDense`.

    The kernel is seen as a matrix W whose rows are the output channels. The
    state is the pair of left and right singular vectors u and v: in
    evaluation sigma = u^T W v needs both.
    """

    # Axis of the kernel that holds the output channels.
    _output_axis = -1
    _epsilon = 1e-12

    def build(self, input_shape):
        if getattr(self, "data_format", "channels_last") != "channels_last":
            raise ValueError(
                "`data_format` must be 'channels_last', the layout of the "
                f"library's images. Received: {self.data_format!r}"
            )
        super().build(input_shape)
        outputs = self.kernel.shape[self._output_axis]
        inputs = 1
        for size in self.kernel.shape:
            inputs *= size
        inputs //= outputs
        self.left_vector = self._add_singular_vector("left_vector", outputs)
        self.right_vector = self._add_singular_vector("right_vector", inputs)

    def _add_singular_vector(self, name, size):
        return self.add_weight(
            name=name,
            shape=(size,),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            trainable=False,
            # Power iterations lose their direction in low precision.
            dtype="float32",
            autocast=False,
        )

    def normalized_kernel(self, training=False):
        """The kernel divided by its spectral norm.

        Args:
            training: Whether to run one power iteration first and keep its
                singular vectors.

        Returns:
            A tensor of the kernel's shape, in the layer's compute dtype.
        """
        kernel = ops.convert_to_tensor(self.kernel)
        matrix = ops.moveaxis(kernel, self._output_axis, -1)
        matrix = ops.cast(
            ops.reshape(matrix, (-1, matrix.shape[-1])), "float32"
        )
        left = ops.expand_dims(self.left_vector, axis=1)
        right = ops.expand_dims(self.right_vector, axis=1)
        if training:
            constant = ops.stop_gradient(matrix)
            right = self._unit(ops.matmul(constant, left))
            left = self._unit(ops.matmul(ops.transpose(constant), right))
            self.right_vector.assign(ops.squeeze(right, axis=1))
            self.left_vector.assign(ops.squeeze(left, axis=1))
        sigma = ops.sum(ops.matmul(matrix, left) * right)
        return kernel / ops.cast(sigma, kernel.dtype)

    # `Dense` saves its kernel and bias alone; `Layer` saves all variables.
    def save_own_variables(self, store):
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        keras.layers.Layer.load_own_variables(self, store)

    def _unit(self, vector):
        norm = ops.sqrt(ops.sum(ops.square(vector)))
        return ops.stop_gradient(vector / ops.maximum(norm, self._epsilon))

    def _add_bias(self, outputs):
        if self.use_bias:
            outputs = outputs + self.bias
        if self.activation is not None:
            outputs = self.activation(outputs)
        return outputs


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class SpectralDense(_SpectralNormalization, keras.layers.Dense):
    """`keras.layers.Dense` with a spectrally normalised kernel.

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

    def call(self, inputs, training=False):
        kernel = self.normalized_kernel(training)
        return self._add_bias(ops.matmul(inputs, kernel))


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class SpectralConv2D(_SpectralNormalization, keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a spectrally normalised kernel.

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

    def call(self, inputs, training=False):
        kernel = self.normalized_kernel(training)
        return self._add_bias(self.convolution_op(inputs, kernel))


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class SpectralConv2DTranspose(
    _SpectralNormalization, keras.layers.Conv2DTranspose
):
    """`keras.layers.Conv2DTranspose` with a spectrally normalised kernel.

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

    # The kernel's shape is (height, width, outputs, inputs).
    _output_axis = -2

    def call(self, inputs, training=False):
        outputs = ops.conv_transpose(
            inputs,
            self.normalized_kernel(training),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self._add_bias(outputs)
