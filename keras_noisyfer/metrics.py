"""Metrics of the consensus prediction. Missing labels have no part in them."""

import keras
from keras import ops

from keras_noisyfer.distribution import sum_over_replicas
from keras_noisyfer.tasks import CategoricalTask


@keras.saving.register_keras_serializable(package="keras_noisyfer.metrics")
class Accuracy(keras.metrics.Mean):
    """Fraction of the given class labels that the prediction agrees with.

    Args:
        name: Name of the metric.
        **kwargs: `dtype`.

    `update_state` arguments:
        labels: Class ids, -1 where missing, shape
            `(batch_size, annotators)`.
        probabilities: Class probabilities, shape
            `(batch_size, num_classes)`.
    """

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        # Tells Keras' callbacks that more is better.
        self._direction = "up"

    def update_state(self, labels, probabilities):
        predicted = ops.expand_dims(ops.argmax(probabilities, -1), axis=-1)
        labels = ops.cast(labels, "int32")
        correct = ops.cast(predicted, "int32") == labels
        _update_masked_mean(self, correct, labels >= 0)


@keras.saving.register_keras_serializable(package="keras_noisyfer.metrics")
class MeanSquaredError(keras.metrics.Mean):
    """Mean squared error over the given values.

    Args:
        name: Name of the metric.
        **kwargs: `dtype`.

    `update_state` arguments:
        labels: Values, NaN where missing, shape
            `(batch_size, annotators, dimensions)`.
        predictions: Values, shape `(batch_size, dimensions)`.
    """

    def __init__(self, name="mse", **kwargs):
        super().__init__(name=name, **kwargs)
        self._direction = "down"

    def update_state(self, labels, predictions):
        present = ops.logical_not(ops.isnan(labels))
        labels = ops.where(present, labels, ops.zeros_like(labels))
        errors = ops.square(ops.expand_dims(predictions, axis=1) - labels)
        _update_masked_mean(self, errors, present)


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

    Result:
        A dict: `<name>_<dimension>_ccc` for each dimension, in [-1, 1] and 0
        while there are fewer than two labels, and `<name>_ccc`, their mean.

    Reference:

    - [Lin, 1989](https://doi.org/10.2307/2532051)
    """

    def __init__(self, dimensions, name="concordance", **kwargs):
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

        self.count = moment("count")
        self.label_mean = moment("label_mean")
        self.prediction_mean = moment("prediction_mean")
        # Sums of squared and of crossed deviations from the means.
        self.label_spread = moment("label_spread")
        self.prediction_spread = moment("prediction_spread")
        self.cross_spread = moment("cross_spread")

    def update_state(self, labels, predictions):
        labels = ops.cast(labels, self.dtype)
        predictions = ops.expand_dims(ops.cast(predictions, self.dtype), axis=1)
        present = ops.cast(ops.logical_not(ops.isnan(labels)), self.dtype)
        labels = ops.where(present > 0, labels, ops.zeros_like(labels))

        def add(values):
            return sum_over_replicas(ops.sum(present * values, axis=(0, 1)))

        count = add(present)

        def mean(values):
            return add(values) / ops.maximum(count, 1.0)

        label_mean, prediction_mean = mean(labels), mean(predictions)
        label_residual = labels - label_mean
        prediction_residual = predictions - prediction_mean

        # The pairwise update of Chan, Golub and LeVeque: sums of squares
        # would cancel in float32.
        total = self.count + count
        safe_total = ops.maximum(total, 1.0)
        label_shift = label_mean - self.label_mean
        prediction_shift = prediction_mean - self.prediction_mean
        weight = self.count * count / safe_total

        def spread(batch, shifts):
            return add(batch) + weight * shifts

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
        share = count / safe_total
        self.label_mean.assign_add(share * label_shift)
        self.prediction_mean.assign_add(share * prediction_shift)
        self.count.assign(total)

    def result(self):
        shift = self.label_mean - self.prediction_mean
        denominator = (
            self.label_spread
            + self.prediction_spread
            + self.count * ops.square(shift)
        )
        ccc = ops.divide_no_nan(2.0 * self.cross_spread, denominator)
        results = {
            f"{self.name}_{dimension}_ccc": ccc[index]
            for index, dimension in enumerate(self.dimensions)
        }
        results[f"{self.name}_ccc"] = ops.mean(ccc)
        return results

    def get_config(self):
        config = super().get_config()
        config.update(dimensions=self.dimensions)
        return config


def _update_masked_mean(metric, values, present):
    # Flat, since `Mean` averages the weights of all axes but the first.
    keras.metrics.Mean.update_state(
        metric,
        ops.reshape(ops.cast(values, metric.dtype), (-1,)),
        sample_weight=ops.reshape(ops.cast(present, metric.dtype), (-1,)),
    )


def metrics_for(task):
    """The metrics of a task's consensus prediction.

    Args:
        task: A `CategoricalTask` or `ContinuousTask`.

    Returns:
        A list of metrics whose results are named after the task:
        `<task>_accuracy`; or `<task>_<dimension>_ccc`, `<task>_ccc` and
        `<task>_mse`.
    """
    if isinstance(task, CategoricalTask):
        return [Accuracy(name=f"{task.name}_accuracy")]
    return [
        ConcordanceCorrelation(task.dimensions, name=task.name),
        MeanSquaredError(name=f"{task.name}_mse"),
    ]
