"""Four-branch multilayer perceptron of the discriminator."""

from typing import Any

import keras
from keras import ops

from keras_noisyfer.layers.spectral_normalization import (
    SpectralBranches,
    SpectralDense,
)
from keras_noisyfer.typing import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class LabelMLP(keras.layers.Layer):
    """MLP with the sum of four branches, of the label and joint streams.

    `h = dense(x)`, `outputs = h + sum_b dense_b2(relu(dense_b1(relu(h))))`
    over four branches b, all spectrally normalized; App. Fig. 2 (c) of the
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

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Shape) -> None:
        hidden_shape = (*input_shape[:-1], self.units)
        branched_shape = (self.num_branches, *hidden_shape)
        self.projection = SpectralDense(
            self.units, dtype=self.dtype_policy, name="projection"
        )
        self.projection.build(input_shape)
        self.branch_inputs = self._branches("branch_inputs")
        self.branch_inputs.build(hidden_shape)
        self.branch_outputs = self._branches("branch_outputs")
        self.branch_outputs.build(branched_shape)

    def _branches(self, name):
        return SpectralBranches(
            self.units, self.num_branches, dtype=self.dtype_policy, name=name
        )

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        hidden = self.projection(inputs, training=training)
        branches = self.branch_inputs(ops.relu(hidden), training=training)
        branches = self.branch_outputs(ops.relu(branches), training=training)
        return hidden + ops.sum(branches, axis=0)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(units=self.units)
        return config
