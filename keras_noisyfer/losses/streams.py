"""What the losses of all tasks have in common: one value a label stream."""

from typing import Any

import keras
from keras import ops

from keras_noisyfer.distribution import sum_over_replicas
from keras_noisyfer.typing import Tensor, Weights


def stream_mean(
    values: Tensor, weights: Tensor, axis: int | tuple[int, ...] = 0
) -> Tensor:
    """The weighted mean over the batch; 0 where all weights are."""
    return ops.divide_no_nan(
        stream_sum(values * weights, axis), stream_sum(weights, axis)
    )


def stream_sum(values: Tensor, axis: int | tuple[int, ...] = 0) -> Tensor:
    """The sum over the batch, of all replicas."""
    return sum_over_replicas(ops.sum(values, axis=axis))


class StreamLoss(keras.losses.Loss):
    """A loss with one value a label stream; their sum is the task's loss.

    The value is a mean over the images, and weights of them are relative:
    images of weight 0 are left out, equal weights change nothing.
    """

    # So many labels a stream make a value.
    least_labels = 1

    def __init__(self, name: str, reduction: str = "sum", dtype: Any = None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Weights = None
    ) -> Tensor:
        if sample_weight is None:
            return super().__call__(y_true, y_pred)
        # Keras would multiply the streams' values by the weights.
        y_true = ops.convert_to_tensor(y_true, self.dtype)
        y_pred = ops.convert_to_tensor(y_pred, self.dtype)
        return ops.sum(self.call(y_true, y_pred, sample_weight))
