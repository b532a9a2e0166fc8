"""The metrics of each task, ours and those that `compile` is given."""

from collections.abc import Iterable
from typing import Any, Self

import keras
from keras import ops

from keras_noisyfer.arguments import check_by_task
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.metrics.consensus import (
    Accuracy,
    ConcordanceCorrelation,
    MeanSquaredError,
)
from keras_noisyfer.tasks import CategoricalTask, Task
from keras_noisyfer.typing import Tasks, Tensor, Weights


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

    def __init__(self, metric: keras.metrics.Metric, name: str, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.metric = metric
        self.total = self.add_variable((), "zeros", name="total")
        # As Keras' callbacks look for it in its own containers of metrics.
        self.mode = {"up": "max", "down": "min"}.get(
            getattr(metric, "_direction", ""), "auto"
        )

    def update_state(
        self, labels: Tensor, predictions: Tensor, sample_weight: Weights = None
    ) -> None:
        shape = (-1, *labels.shape[2:])
        if len(labels.shape) == 2:
            present = labels >= 0
        else:
            present = ops.all(ops.logical_not(ops.isnan(labels)), axis=-1)
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

    def result(self) -> Tensor:
        value = self.metric.result()
        return ops.where(self.total > 0, value, float("nan"))

    def reset_state(self) -> None:
        super().reset_state()
        self.metric.reset_state()

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["metric"] = keras.saving.serialize_keras_object(self.metric)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = dict(config)
        config["metric"] = keras.saving.deserialize_keras_object(
            config["metric"]
        )
        return cls(**config)


def monitor_modes(metrics: Iterable[keras.metrics.Metric]) -> dict[str, str]:
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


def metrics_for(task: Task) -> list[keras.metrics.Metric]:
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


def make_metrics(
    tasks: Tasks, metrics: dict[str, Any] | None = None
) -> dict[str, list[LabelMetric]]:
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
    made: dict[str, list[LabelMetric]] = {}
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


def metric_results(
    metrics: Iterable[keras.metrics.Metric],
) -> dict[str, Tensor]:
    """Results of metrics as one dict, whose values may be dicts each."""
    results = {}
    for metric in metrics:
        result = metric.result()
        results.update(
            result if isinstance(result, dict) else {metric.name: result}
        )
    return results
