"""Four-branch multilayer perceptron of the discriminator."""

import keras
from keras import ops

from keras_noisyfer.layers.spectral_normalization import SpectralDense


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class LabelMLP(keras.layers.Layer):
    """MLP with the sum of four branches, of the label and joint streams.

    `h = dense(x)`, `outputs = h + sum_b dense_b2(relu(dense_b1(relu(h))))`
    over four branches b, all spectrally normalised; App. Fig. 2 (c) of the
    paper.

    Args:
        units: Dimension of every layer and of the output.
        **kwargs: `name`, `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch_size, input_dim)`.
        training: Whether to update the spectral norms.

    Returns:
        A tensor of shape `(batch_size, units)`.
    """

    num_branches = 4

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.projection = self._dense("projection", input_shape[-1])
        # Two flat lists: Keras does not save layers in nested containers.
        branches = range(1, self.num_branches + 1)
        self.branch_inputs = [
            self._dense(f"branch_{index}_input", self.units)
            for index in branches
        ]
        self.branch_outputs = [
            self._dense(f"branch_{index}_output", self.units)
            for index in branches
        ]

    def _dense(self, name, input_dim):
        layer = SpectralDense(self.units, dtype=self.dtype_policy, name=name)
        layer.build((None, input_dim))
        return layer

    def call(self, inputs, training=False):
        hidden = self.projection(inputs, training=training)
        outputs = hidden
        activated = ops.relu(hidden)
        for first, second in zip(
            self.branch_inputs, self.branch_outputs, strict=True
        ):
            branch = ops.relu(first(activated, training=training))
            outputs = outputs + second(branch, training=training)
        return outputs

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        config = super().get_config()
        config.update(units=self.units)
        return config
