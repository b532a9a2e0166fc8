"""The metrics of each task, ours and those that `compile` is given."""

import inspect
from collections.abc import Iterable
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_noisyfer.arguments import check_by_task, one_line
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.metrics.consensus import (
    Accuracy,
    ConcordanceCorrelation,
    MeanSquaredError,
)
from keras_noisyfer.tasks import CategoricalTask, Task, one_hot
from keras_noisyfer.typing import Tasks, Tensor, Weights


@keras.saving.register_keras_serializable(package="keras_noisyfer.metrics")
class LabelMetric(keras.metrics.Metric):
    """A Keras metric of single labels, over those that are given.

    Each label counts with the consensus prediction for its image: classes
    with probabilities, or logits if the metric has `from_logits=True`, values
    with values. Of classes it sees one-hot vectors where it is one of Keras'
    whose name does not begin with Sparse, else class ids. A label that lacks
    a value is left out, and without any label the result is NaN.

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
        keras_own = type(metric).__module__.startswith("keras.")
        self._one_hot = (
            keras_own
            and type(metric) is not keras.metrics.MeanMetricWrapper
            and not type(metric).__name__.startswith("Sparse")
            and not getattr(metric, "sparse_y_true", False)
        )
        self._from_logits = metric.get_config().get("from_logits", False)
        # As Keras' callbacks look for it in its own containers of metrics.
        self.mode = {"up": "max", "down": "min"}.get(
            getattr(metric, "_direction", ""), "auto"
        )

    def update_state(
        self, labels: Tensor, predictions: Tensor, sample_weight: Weights = None
    ) -> None:
        labels = ops.cast(labels, self.dtype)
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
        if len(labels.shape) == 2:
            if self._one_hot:
                count = predictions.shape[-1]
                labels = one_hot(labels, count, self.dtype)
                shape = (-1, count)
            if self._from_logits:
                tiny = keras.config.epsilon()
                predictions = ops.log(ops.maximum(predictions, tiny))
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
            modes.update(dict.fromkeys(_log_names(metric), metric.mode))
    return modes


def _log_names(metric):
    """The names of a metric in the logs, of which it may have several."""
    return getattr(metric, "result_names", [metric.name])


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
            or ignores which are missing.
    """
    given = check_by_task("metrics", metrics, tasks)
    made: dict[str, list[LabelMetric]] = {}
    for task in tasks:
        each = given.get(task.name)
        each = [] if each is None else keras.tree.flatten(each)
        made[task.name] = [_make_metric(task, metric) for metric in each]
    return made


def _make_metric(task, given):
    categorical = isinstance(task, CategoricalTask)
    try:
        if given in ("accuracy", "acc"):
            raise ValueError("which the logs have already, <task>_accuracy")
        is_keras = getattr(given, "__module__", "").startswith("keras.")
        if is_keras and inspect.isfunction(given):
            # By name it is a metric, which tells what labels it takes.
            given = given.__name__
        metric = keras.metrics.get(given)
        if not isinstance(metric, keras.metrics.Metric):
            name = getattr(metric, "__name__", "")
            name = name if name.isidentifier() else "metric"
            metric = keras.metrics.MeanMetricWrapper(metric, name=name)
        elif not isinstance(given, str):
            # A copy, which no other model updates.
            metric = type(metric).from_config(metric.get_config())
        name = given if isinstance(given, str) else metric.name
        made = LabelMetric(metric, f"{task.name}_{name}")
        _try_metric(made, task)
    except Exception as error:
        raise ValueError(
            f"`metrics['{task.name}']` must be metrics of "
            f"{'classes' if categorical else 'values'} as Keras has them, "
            f"such as {_EXAMPLES[categorical]}. Received: {given!r}, "
            f"{one_line(error, 160)}"
        ) from None
    return made


_EXAMPLES = ("'mean_absolute_error'", "SparseTopKCategoricalAccuracy(2)")


def _try_metric(metric, task):
    """Looks whether a metric reads a task's labels, and their weights."""
    size = 4 + task.num_outputs
    generator = np.random.default_rng(0)
    if isinstance(task, CategoricalTask):
        labels = np.arange(size)[:, None] % task.num_classes
        missing = -1
    else:
        labels = generator.uniform(-1, 1, (size, 1, task.num_outputs))
        missing = np.nan
    labels = ops.convert_to_tensor(labels.astype("float32"))
    predictions = generator.dirichlet(np.ones(task.num_outputs), size)
    predictions = ops.convert_to_tensor(predictions.astype("float32"))
    results = []
    # The last ones are missing, or not there.
    there = np.arange(size) < size - 2
    shape = (size, *[1] * (len(labels.shape) - 1))
    for part in (
        (ops.where(there.reshape(shape), labels, missing), predictions),
        (labels[: size - 2], predictions[: size - 2]),
    ):
        metric.reset_state()
        metric.update_state(*part)
        results.append(ops.convert_to_numpy(metric.result()))
    if results[0].shape != ():
        raise ValueError("whose result is no single number")
    if not np.allclose(*results, rtol=1e-4, equal_nan=True):
        raise ValueError("which takes no heed of `sample_weight`")
    metric.reset_state()


def check_log_names(metrics: Iterable[keras.metrics.Metric]) -> None:
    """Raises `ValueError` if two metrics have one name in the logs."""
    names = [name for each in metrics for name in _log_names(each)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            "`metrics` and `regularizers` must have other names than those in "
            f"the logs already. Received: {', '.join(twice)}"
        )


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
