"""Losses of continuous tasks.

Labels may be missing, NaN. A missing label has no
part in a loss and no gradient.
"""

from typing import Any

import keras
from keras import ops

from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.losses.streams import (
    StreamLoss,
    stream_mean,
    stream_sum,
)
from keras_noisyfer.typing import Tensor, Weights

_EPSILON = 1e-8


def concordance_loss(
    labels: Tensor,
    predictions: Tensor,
    variance: str = "released",
    sample_weight: Weights = None,
) -> Tensor:
    """One minus the mean concordance correlation coefficient (CCC).

    `CCC = 2 cov(p, l) / (var(p) + var(l) + (mean p - mean l)^2)` over the
    batch, one for each dimension; Section 4 of the paper.

    Args:
        labels: Values, NaN where missing, shape
            `(batch_size, annotators, dimensions)`.
        predictions: Values of the same shape.
        variance: `"released"`: population covariance with unbiased
            variances, as the authors' code computes it. `"population"`: both
            of the population, the definition of the CCC.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        The loss of each label stream, shape `(annotators,)`, in [0, 2]. A
        dimension with fewer than two given labels has no CCC and is left
        out; a stream of such dimensions alone has loss 0.

    Raises:
        ValueError: if `variance` is unknown.

    Reference:

    - [Lin, 1989](https://doi.org/10.2307/2532051)
    """
    _check_variance(variance)
    present = ops.cast(ops.logical_not(ops.isnan(labels)), predictions.dtype)
    labels = ops.where(present > 0, labels, ops.zeros_like(labels))
    weights = weigh_labels(present, sample_weight)
    count = stream_sum(ops.cast(weights > 0, weights.dtype))

    def mean(values):
        return stream_mean(values, weights)

    label_mean, prediction_mean = mean(labels), mean(predictions)
    label_residual = labels - label_mean
    prediction_residual = predictions - prediction_mean
    covariance = mean(label_residual * prediction_residual)
    variances = mean(ops.square(label_residual)) + mean(
        ops.square(prediction_residual)
    )
    if variance == "released":
        variances = variances * count / ops.maximum(count - 1.0, 1.0)
    # Constant labels and predictions would otherwise give 0 / 0.
    ccc = (
        2.0
        * covariance
        / (variances + ops.square(label_mean - prediction_mean) + _EPSILON)
    )
    defined = ops.cast(count >= 2.0, predictions.dtype)
    return ops.sum(defined * (1.0 - ccc), axis=-1) / ops.maximum(
        ops.sum(defined, axis=-1), 1.0
    )


def mean_squared_error(
    labels: Tensor, predictions: Tensor, sample_weight: Weights = None
) -> Tensor:
    """Mean squared error of each label stream over the given values.

    Args:
        labels: Values, NaN where missing, shape
            `(batch_size, annotators, dimensions)`.
        predictions: Values of the same shape.
        sample_weight: Optional weights of the images, shape `(batch_size,)`.

    Returns:
        The mean over the batch's given values, shape `(annotators,)`.
    """
    present = ops.logical_not(ops.isnan(labels))
    labels = ops.where(present, labels, ops.zeros_like(labels))
    present = weigh_labels(ops.cast(present, predictions.dtype), sample_weight)
    return stream_mean(ops.square(predictions - labels), present, axis=(0, 2))


def _check_variance(variance):
    if variance not in ("released", "population"):
        raise ValueError(
            "`variance` must be 'released' or 'population'. "
            f"Received: {variance!r}"
        )


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class ConcordanceLoss(StreamLoss):
    """One minus the mean CCC over the label streams of a continuous task.

    See `concordance_loss`. The sum over the annotators.

    Args:
        variance: `"released"` or `"population"`.
    """

    least_labels = 2

    def __init__(
        self,
        variance: str = "released",
        name: str = "concordance_loss",
        **kwargs: Any,
    ):
        super().__init__(name, **kwargs)
        _check_variance(variance)
        self.variance = variance

    def call(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Weights = None
    ) -> Tensor:
        return concordance_loss(y_true, y_pred, self.variance, sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(variance=self.variance)
        return config


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class MeanSquaredError(StreamLoss):
    """Mean squared error over the label streams of a continuous task.

    See `mean_squared_error`. The sum over the annotators.
    """

    def __init__(self, name: str = "mean_squared_error", **kwargs: Any):
        super().__init__(name, **kwargs)

    def call(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Weights = None
    ) -> Tensor:
        return mean_squared_error(y_true, y_pred, sample_weight)
