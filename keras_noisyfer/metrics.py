"""Metrics of the consensus prediction.

Missing labels have no part in them, and without any label they are NaN.
"""

import keras
from keras import ops

from keras_noisyfer.arguments import check_by_task
from keras_noisyfer.distribution import sum_over_replicas
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.tasks import CategoricalTask


@keras.saving.register_keras_serializable(package="keras_noisyfer.metrics")
class LabelledMean(keras.metrics.Mean):
    """`keras.metrics.Mean` that is NaN, and not 0, over nothing.

    Args:
        name: Name of the metric.
        **kwargs: `dtype`.
    """

    # Which values are better, for callbacks.
    mode = "min"

    def result(self):
        return ops.where(self.count > 0, super().result(), float("nan"))

    def update_from_labels(self, values, present, sample_weight):
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

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, labels, probabilities, sample_weight=None):
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

    def __init__(self, name="mse", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, labels, predictions, sample_weight=None):
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

        self.label_count = moment("label_count")
        # The sum of their weights.
        self.count = moment("count")
        self.label_mean = moment("label_mean")
        self.prediction_mean = moment("prediction_mean")
        # Sums of squared and of crossed deviations from the means.
        self.label_spread = moment("label_spread")
        self.prediction_spread = moment("prediction_spread")
        self.cross_spread = moment("cross_spread")

    def update_state(self, labels, predictions, sample_weight=None):
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
    def result_names(self):
        """The keys of the result."""
        dimensions = [f"{self.name}_{each}_ccc" for each in self.dimensions]
        return [*dimensions, f"{self.name}_ccc"]

    def result(self):
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

    def get_config(self):
        config = super().get_config()
        config.update(dimensions=self.dimensions)
        return config


@keras.saving.register_keras_serializable(package="keras_noisyfer.metrics")
class LabelMetric(keras.metrics.Metric):
    """A Keras metric of single labels, over those that are given.

    Each label counts with the consensus prediction for its image: class ids
    with probabilities, values with values. A label that lacks a value is left
    out, and without any label the result is NaN.

    Args:
        metric: The Keras metric.
        name: Name of the metric.
        **kwargs: `dtype`.

    `update_state` arguments:
        labels: Standardized labels of a task.
        predictions: Its consensus prediction.
        sample_weight: Optional weights of the images, `(batch_size,)`.
    """

    def __init__(self, metric, name, **kwargs):
        super().__init__(name=name, **kwargs)
        self.metric = metric
        self.total = self.add_variable((), "zeros", name="total")
        # As Keras' callbacks look for it in its own containers of metrics.
        self.mode = {"up": "max", "down": "min"}.get(
            getattr(metric, "_direction", None), "auto"
        )

    def update_state(self, labels, predictions, sample_weight=None):
        if len(labels.shape) == 2:
            present, shape = labels >= 0, (-1,)
        else:
            present = ops.all(ops.logical_not(ops.isnan(labels)), axis=-1)
            shape = (-1, labels.shape[-1])
        predictions = ops.repeat(
            ops.expand_dims(predictions, axis=1), labels.shape[1], axis=1
        )
        weights = weigh_labels(ops.cast(present, self.dtype), sample_weight)
        if len(labels.shape) == 3:
            present = ops.expand_dims(present, axis=-1)
        labels = ops.where(present, labels, ops.zeros_like(labels))
        self.metric.update_state(
            ops.reshape(labels, shape),
            ops.reshape(predictions, (-1, predictions.shape[-1])),
            sample_weight=ops.reshape(weights, (-1,)),
        )
        self.total.assign_add(ops.sum(weights))

    def result(self):
        value = self.metric.result()
        return ops.where(self.total > 0, value, float("nan"))

    def reset_state(self):
        super().reset_state()
        self.metric.reset_state()

    def get_config(self):
        config = super().get_config()
        config["metric"] = keras.saving.serialize_keras_object(self.metric)
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["metric"] = keras.saving.deserialize_keras_object(
            config["metric"]
        )
        return cls(**config)


def monitor_modes(metrics):
    """Which values of metrics are better, as Keras' callbacks call it.

    Args:
        metrics: Metrics, of which those with a `mode` count.

    Returns:
        A dict by name in the logs of `"min"` or `"max"`.
    """
    modes = {}
    for metric in metrics:
        if hasattr(metric, "mode"):
            names = getattr(metric, "result_names", [metric.name])
            modes.update(dict.fromkeys(names, metric.mode))
    return modes


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


def make_metrics(tasks, metrics=None):
    """The metrics that `compile` is given for each task.

    Args:
        tasks: Sequence of tasks.
        metrics: Dict by task name of what `keras.metrics.get` knows, or of
            lists of it; or None.

    Returns:
        A dict by task name of lists of `LabelMetric`.

    Raises:
        ValueError: if a task is unknown, or a metric cannot read its labels
            or bears a name that the logs have already.
    """
    given = check_by_task("metrics", metrics, tasks)
    made = {}
    for task in tasks:
        made[task.name] = []
        names = set(monitor_modes(metrics_for(task)))
        for each in keras.tree.flatten(given.get(task.name, [])):
            metric = _make_metric(task, each)
            if metric.name in names:
                raise ValueError(
                    f"`metrics['{task.name}']` must have other names than "
                    f"those in the logs already. Received: {metric.name!r}"
                )
            names.add(metric.name)
            made[task.name].append(metric)
    return made


def _make_metric(task, given):
    categorical = isinstance(task, CategoricalTask)
    shape = (2, task.annotators, task.num_outputs)
    try:
        metric = keras.metrics.get(given)
        if not isinstance(metric, keras.metrics.Metric):
            name = given if isinstance(given, str) else metric.__name__
            metric = keras.metrics.MeanMetricWrapper(metric, name=name)
        # A copy, which no other model updates.
        metric = type(metric).from_config(metric.get_config())
        made = LabelMetric(metric, f"{task.name}_{metric.name}")
        labels = ops.zeros(shape[: 2 if categorical else 3], "int32")
        if not categorical:
            labels = ops.cast(labels, "float32")
        made.update_state(labels, ops.zeros((2, task.num_outputs)))
        if tuple(made.result().shape) != ():
            raise ValueError("its result is no single number")
    except Exception as error:
        raise ValueError(
            f"`metrics['{task.name}']` must be Keras metrics of "
            f"{'class ids' if categorical else 'values'}, such as "
            f"{_EXAMPLES[categorical]}. Received: {given!r}, "
            f"of which comes a {type(error).__name__}"
        ) from None
    made.reset_state()
    return made


_EXAMPLES = ("'mean_absolute_error'", "SparseTopKCategoricalAccuracy(2)")


def metric_results(metrics):
    """Results of metrics as one dict, whose values may be dicts each."""
    results = {}
    for metric in metrics:
        result = metric.result()
        results.update(
            result if isinstance(result, dict) else {metric.name: result}
        )
    return results
