"""Metrics of the consensus prediction.

Missing labels have no part in them, and without any label they are NaN.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_noisyfer.distribution import sum_over_replicas
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.typing import Tensor, Weights


@keras.saving.register_keras_serializable(package="keras_noisyfer.metrics")
class LabelledMean(keras.metrics.Mean):
    """`keras.metrics.Mean` that is NaN, and not 0, over nothing.

    Args:
        name: Name of the metric.
        **kwargs: `dtype`.
    """

    # Which values are better, for callbacks.
    mode = "min"

    def result(self) -> Tensor:
        return ops.where(self.count > 0, super().result(), float("nan"))

    def update_from_labels(
        self, values: Tensor, present: Tensor, sample_weight: Weights
    ) -> None:
        """Adds the values of the labels that are given.

        Args:
            values: Shape `(batch_size, ...)`.
            present: Which labels are given, of the same shape.
            sample_weight: Weights of the images, or None.
        """
        weights = weigh_labels(ops.cast(present, self.dtype), sample_weight)
        # Flat, since `Mean` averages the weights of all axes but the first.
        super().update_state(
            ops.reshape(ops.cast(values, self.dtype), (-1,)),
            sample_weight=ops.reshape(weights, (-1,)),
        )


@keras.saving.register_keras_serializable(package="keras_noisyfer.metrics")
class Accuracy(LabelledMean):
    """Fraction of the given class labels that the prediction agrees with.

    Args:
        name: Name of the metric.
        **kwargs: `dtype`.

    `update_state` arguments:
        labels: Class ids, -1 where missing, shape
            `(batch_size, annotators)`.
        probabilities: Class probabilities, shape
            `(batch_size, num_classes)`.
        sample_weight: Optional weights of the images, `(batch_size,)`.
    """

    mode = "max"

    def __init__(self, name: str = "accuracy", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def update_state(
        self,
        labels: Tensor,
        probabilities: Tensor,
        sample_weight: Weights = None,
    ) -> None:
        predicted = ops.expand_dims(ops.argmax(probabilities, -1), axis=-1)
        labels = ops.cast(labels, "int32")
        correct = ops.cast(predicted, "int32") == labels
        # The largest of values that are not finite is none.
        sound = ops.isfinite(ops.sum(probabilities, axis=-1, keepdims=True))
        correct = ops.logical_and(correct, sound)
        self.update_from_labels(correct, labels >= 0, sample_weight)


@keras.saving.register_keras_serializable(package="keras_noisyfer.metrics")
class MeanSquaredError(LabelledMean):
    """Mean squared error over the given values.

    Args:
        name: Name of the metric.
        **kwargs: `dtype`.

    `update_state` arguments:
        labels: Values, NaN where missing, shape
            `(batch_size, annotators, dimensions)`.
        predictions: Values, shape `(batch_size, dimensions)`.
        sample_weight: Optional weights of the images, `(batch_size,)`.
    """

    def __init__(self, name: str = "mse", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def update_state(
        self, labels: Tensor, predictions: Tensor, sample_weight: Weights = None
    ) -> None:
        present = ops.logical_not(ops.isnan(labels))
        labels = ops.where(present, labels, ops.zeros_like(labels))
        errors = ops.square(ops.expand_dims(predictions, axis=1) - labels)
        self.update_from_labels(errors, present, sample_weight)


@keras.saving.register_keras_serializable(package="keras_noisyfer.metrics")
class ConcordanceCorrelation(keras.metrics.Metric):
    """Concordance correlation coefficient (CCC) of a whole data set.

    `CCC = 2 cov(p, l) / (var(p) + var(l) + (mean p - mean l)^2)` with
    population moments. The moments are merged batch by batch, so that the
    result does not depend on the batches;
    `keras.metrics.ConcordanceCorrelation` averages the batches' values.

    Args:
        dimensions: Names of the dimensions, such as
            `("valence", "arousal")`.
        name: Name of the metric, the prefix of its results.
        **kwargs: `dtype`.

    `update_state` arguments:
        labels: Values, NaN where missing, shape
            `(batch_size, annotators, dimensions)`.
        predictions: Values, shape `(batch_size, dimensions)`.
        sample_weight: Optional weights of the images, `(batch_size,)`.

    Result:
        A dict: `<name>_<dimension>_ccc` for each dimension, in [-1, 1], and
        `<name>_ccc`, their mean; NaN while a dimension has fewer than two
        labels, which have no CCC.

    Reference:

    - [Lin, 1989](https://doi.org/10.2307/2532051)
    """

    mode = "max"

    def __init__(
        self,
        dimensions: Sequence[str],
        name: str = "concordance",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.dimensions = tuple(dimensions)

        def moment(name):
            return self.add_variable(
                shape=(len(self.dimensions),),
                initializer="zeros",
                name=name,
                # The same on all replicas.
                aggregation="mean",
            )

        self.label_count = moment("label_count")
        # The sum of their weights.
        self.count = moment("count")
        self.label_mean = moment("label_mean")
        self.prediction_mean = moment("prediction_mean")
        # Sums of squared and of crossed deviations from the means.
        self.label_spread = moment("label_spread")
        self.prediction_spread = moment("prediction_spread")
        self.cross_spread = moment("cross_spread")

    def update_state(
        self, labels: Tensor, predictions: Tensor, sample_weight: Weights = None
    ) -> None:
        labels = ops.cast(labels, self.dtype)
        predictions = ops.expand_dims(ops.cast(predictions, self.dtype), axis=1)
        present = ops.cast(ops.logical_not(ops.isnan(labels)), self.dtype)
        labels = ops.where(present > 0, labels, ops.zeros_like(labels))
        weights = weigh_labels(present, sample_weight)

        def add(values):
            return sum_over_replicas(ops.sum(values, axis=(0, 1)))

        self.label_count.assign_add(add(ops.cast(weights > 0, self.dtype)))
        count = add(weights)

        def mean(values):
            return ops.divide_no_nan(add(weights * values), count)

        label_mean, prediction_mean = mean(labels), mean(predictions)
        label_residual = labels - label_mean
        prediction_residual = predictions - prediction_mean

        # The pairwise update of Chan, Golub and LeVeque: sums of squares
        # would cancel in float32.
        total = self.count + count
        label_shift = label_mean - self.label_mean
        prediction_shift = prediction_mean - self.prediction_mean
        weight = ops.divide_no_nan(self.count * count, total)

        def spread(batch, shifts):
            return add(weights * batch) + weight * shifts

        self.label_spread.assign_add(
            spread(ops.square(label_residual), ops.square(label_shift))
        )
        self.prediction_spread.assign_add(
            spread(
                ops.square(prediction_residual), ops.square(prediction_shift)
            )
        )
        self.cross_spread.assign_add(
            spread(
                label_residual * prediction_residual,
                label_shift * prediction_shift,
            )
        )
        share = ops.divide_no_nan(count, total)
        self.label_mean.assign_add(share * label_shift)
        self.prediction_mean.assign_add(share * prediction_shift)
        self.count.assign(total)

    @property
    def result_names(self) -> list[str]:
        """The keys of the result."""
        dimensions = [f"{self.name}_{each}_ccc" for each in self.dimensions]
        return [*dimensions, f"{self.name}_ccc"]

    def result(self) -> dict[str, Tensor]:
        shift = self.label_mean - self.prediction_mean
        denominator = (
            self.label_spread
            + self.prediction_spread
            + self.count * ops.square(shift)
        )
        ccc = ops.divide_no_nan(2.0 * self.cross_spread, denominator)
        ccc = ops.where(self.label_count >= 2, ccc, float("nan"))
        values = [ccc[index] for index in range(len(self.dimensions))]
        return dict(
            zip(self.result_names, [*values, ops.mean(ccc)], strict=True)
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(dimensions=self.dimensions)
        return config
