"""Labels of a batch: checked on the way in, agreed upon on the way out."""

from collections.abc import Mapping, Sequence

import numpy as np
from keras import config, ops

from keras_noisyfer.arguments import describe
from keras_noisyfer.distribution import sum_over_replicas
from keras_noisyfer.tasks import CategoricalTask, LabelStream, Task
from keras_noisyfer.typing import ArrayLike, Labels, Tasks, Tensor, Weights


def standardize_labels(
    tasks: Tasks, labels: Labels, evaluation: bool = False
) -> dict[str, Tensor]:
    """Checks a batch's labels and gives each an annotator axis.

    Shapes and dtypes are checked, not values: that costs nothing within a
    traced function. `datasets.pipeline.check_labels` checks the values of a
    data set, `batches` those of a batch.

    Args:
        tasks: Sequence of tasks.
        labels: Dict by task name. Categorical: integers of shape
            `(batch_size, annotators)` or `(batch_size,)`; continuous: floats
            of shape `(batch_size, annotators, dimensions)` or
            `(batch_size, dimensions)`.
        evaluation: Whether one label, the clean one, is accepted in the
            place of the annotators' labels.

    Returns:
        Dict by task name of labels with an annotator axis.

    Raises:
        ValueError: if a task is missing or unknown, or labels have a wrong
            shape or dtype.
    """
    names = [task.name for task in tasks]
    if not isinstance(labels, dict):
        raise ValueError(
            f"`labels` must be a dict of labels by task name, {names}. "
            f"Received: {describe(labels)}"
        )
    if set(labels) != set(names):
        raise ValueError(
            f"`labels` must have exactly the keys {names}, one a task. "
            f"Received: keys={sorted(labels)}"
        )
    standardized = {}
    for task in tasks:
        given = task.standardize(labels[task.name])
        annotators = given.shape[1]
        if annotators != task.annotators and not (
            evaluation and annotators == 1
        ):
            raise ValueError(
                f"Labels of task '{task.name}' must have shape "
                f"{task.label_shape}: it has {task.annotators} annotator(s). "
                f"Received: shape={tuple(labels[task.name].shape)}"
            )
        standardized[task.name] = given
    return standardized


def weigh_labels(present: Tensor, sample_weight: Weights) -> Tensor:
    """Weights of labels: those of their images, of shape `(batch_size,)`; 0
    where missing, as `present` says in floats of shape `(batch_size, ...)`."""
    if sample_weight is None:
        return present
    shape = (-1, *[1] * (len(present.shape) - 1))
    return present * ops.reshape(ops.cast(sample_weight, present.dtype), shape)


def mean_weights(sample_weight: Labels | None) -> Tensor | None:
    """The weights of the images over all tasks, for what is of none."""
    if sample_weight is None:
        return None
    return ops.mean(ops.stack(list(sample_weight.values())), axis=0)


def weigh_images(
    task: Task,
    labels: Tensor,
    sample_weight: Weights,
    least: int = 1,
    pooled: bool = False,
) -> tuple[Tensor, Tensor]:
    """Weights of the images as far as a task's loss counts them.

    Args:
        task: The task.
        labels: Its standardized labels.
        sample_weight: Weights of the images, shape `(batch_size,)`, or None.
        least: Number of labels that a label stream's loss needs.
        pooled: Whether all streams of a task have one loss.

    Returns:
        The weights, float32 of shape `(batch_size,)` and 0 without label; and
        their sum, or 0 if no stream has the labels that its loss needs.
    """
    present = ops.cast(task.present(labels), "float32")
    given = weigh_labels(present, sample_weight)
    weights = ops.max(given, axis=(1, 2))
    counts = sum_over_replicas(ops.sum(ops.cast(given > 0, "float32"), axis=0))
    counts = ops.sum(counts, axis=0) if pooled else counts
    enough = ops.max(counts) >= least
    return weights, ops.where(enough, ops.sum(weights), 0.0)


def consensus(task: Task, outputs: Tensor, method: str = "mean") -> Tensor:
    """The label predicted from all label streams of a task.

    Args:
        task: The task.
        outputs: Raw outputs of the encoder for it, of shape
            `(batch_size, annotators, width)`.
        method: `"mean"`: the mean of the annotators' class probabilities, or
            of their values. `"first"`: the first stream alone, the paper's
            choice.

    Returns:
        Class probabilities of shape `(batch_size, num_classes)`, or values
        in [-1, 1] of shape `(batch_size, dimensions)`.

    Raises:
        ValueError: if `method` is unknown.
    """
    check_consensus(method)
    predictions = task.activate(outputs)
    if method == "first":
        return predictions[:, 0]
    return ops.mean(predictions, axis=1)


def invert_consensus(task: Task, prediction: Tensor, annotators: int) -> Tensor:
    """Equal raw outputs of label streams, `(batch_size, annotators, width)`,
    whose consensus is a prediction."""
    if isinstance(task, CategoricalTask):
        prediction = ops.log(ops.maximum(prediction, config.epsilon()))
    return ops.repeat(ops.expand_dims(prediction, axis=1), annotators, axis=1)


def check_consensus(method: str) -> None:
    """Raises `ValueError` if `method` is no way to form the consensus."""
    if method not in ("mean", "first"):
        raise ValueError(
            f"`consensus` must be 'mean' or 'first'. Received: {method!r}"
        )


def label_streams(tasks: Tasks) -> list[LabelStream]:
    """All label streams of a list of tasks, in the order of the networks:
    y^1 ... y^T in the paper's notation."""
    return [stream for task in tasks for stream in task.streams]


def encode_complete_labels(tasks: Tasks, labels: Labels) -> dict[str, Tensor]:
    """Labels of all annotators, as the networks see them.

    Args:
        tasks: Sequence of tasks.
        labels: Dict by task name of labels, none missing; one without
            annotator axis counts for all annotators.

    Returns:
        Dict by task name of encoded labels, `(n, annotators, width)`.

    Raises:
        ValueError: if a label is missing, unknown or out of its range, or the
            tasks have other numbers of them.
    """
    labels = standardize_labels(tasks, labels, evaluation=True)
    counts = {name: each.shape[0] for name, each in labels.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(
            "`labels` must have as many entries for every task. "
            f"Received: {counts}"
        )
    encoded = {}
    for task in tasks:
        given = labels[task.name]
        task.check_values(given, allow_missing=False)
        repeats = task.annotators // given.shape[1]
        encoded[task.name] = ops.repeat(task.encode(given), repeats, 1)
    return encoded


def check_predictions(
    what: str, values: ArrayLike, task: Task, count: int
) -> np.ndarray:
    """What a model predicts of a task for `count` images, as an array.

    Raises:
        ValueError: if it has another shape or is not finite. The message
            begins with `what`.
    """
    values = np.asarray(values)
    what = f"{what} for task '{task.name}'"
    expected = (count, task.num_outputs)
    if values.shape != expected:
        raise ValueError(
            f"{what} must have shape {expected}. Received: shape={values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{what} must be finite. Received: "
            f"{np.count_nonzero(~np.isfinite(values))} that are not"
        )
    return values


def are_probabilities(values: np.ndarray) -> bool:
    """Whether rows are at least 0 and add up to 1; NaN is not."""
    sums = np.abs(values.sum(axis=1) - 1)
    return bool((values >= 0).all() and (sums <= 1e-3).all())


def output_names(task: Task) -> tuple[str, ...] | None:
    """Names of a task's classes or dimensions, in their order; None of
    classes that are numbers."""
    return getattr(task, "class_names", None) or getattr(
        task, "dimensions", None
    )


def check_output_names(
    argument: str,
    tasks: Tasks,
    known: Mapping[str, Sequence[str] | None],
    whose: str = "the model",
) -> None:
    """Refuses tasks of other classes or dimensions, or in another order, than
    a model's outputs have.

    Args:
        argument: Name of the argument that the tasks are of.
        tasks: Sequence of tasks.
        known: Dict by task name of the outputs' names, where they are known.
        whose: What has these outputs.

    Raises:
        ValueError: if the names of a task differ.
    """
    for task in tasks:
        given, own = output_names(task), known.get(task.name)
        if given and own and tuple(given) != tuple(own):
            raise ValueError(
                f"`{argument}` must have the classes or dimensions of {whose} "
                f"for task '{task.name}', in their order: "
                f"{', '.join(own)}. Received: {', '.join(given)}"
            )


def annotator_axis(task: Task, labels: np.ndarray) -> np.ndarray:
    """Labels with an annotator axis, which those of one may lack."""
    rank = 2 if isinstance(task, CategoricalTask) else 3
    return labels if np.ndim(labels) == rank else np.expand_dims(labels, 1)
