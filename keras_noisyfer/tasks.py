"""Tasks: the kinds of label, their annotators and label streams."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np
from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.typing import Tasks, Tensor

# Integers that int32 does not hold; JAX has none.
_WIDE_DTYPES = ("int64", "uint32", "uint64") * (
    keras.backend.backend() == "tensorflow"
)
# Names of the models' inputs, of the networks' other variables, scores and
# logged losses, and of a row's other entries in `Predictor.rows`; Keras logs
# what it validates as `val_...`.
RESERVED_NAMES = (
    "image index sample_weight noise_code joint loss generator_joint "
    "discriminator second val error left top right bottom reconstruction "
    "auxiliary seed scores code projection joint_stream first_map all_features"
).split()


@dataclasses.dataclass(frozen=True)
class LabelStream:
    """One (task, annotator) pair: one head of the encoder, one stream of D.

    Attributes:
        task: The task's name.
        annotator: Index of the annotator within the task.
        name: `"<task>_<annotator>"`, unique within a model.
        num_outputs: Number of values a label takes in the networks: classes
            of a categorical task, dimensions of a continuous one.
    """

    task: str
    annotator: int
    name: str
    num_outputs: int


class Task:
    """What the two kinds of task share. Use one of the subclasses.

    Labels of a task come in three shapes. The *given* labels are what the
    data set holds; `standardize` gives every one of them an annotator axis;
    `encode` turns them into the numbers that the networks see, always of
    shape `(batch_size, annotators, num_outputs)`.
    """

    def __init__(self, name: str, annotators: int = 1):
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(
                "`name` of a task must be a Python identifier, since it "
                f"becomes part of log and file names. Received: {name!r}"
            )
        if name in RESERVED_NAMES or name.startswith("val_"):
            raise ValueError(
                "`name` of a task must not be one of val_..., "
                f"{', '.join(RESERVED_NAMES)}. Received: {name!r}"
            )
        self.name = name
        what = f"annotators of task '{name}'"
        self.annotators = int(check_number(what, annotators, 1, integer=True))

    @property
    def streams(self) -> list[LabelStream]:
        """The task's label streams, one an annotator."""
        name, width = self.name, self.num_outputs
        return [
            LabelStream(name, index, f"{name}_{index}", width)
            for index in range(self.annotators)
        ]

    if TYPE_CHECKING:
        # The members of both subclasses.
        def __getattr__(self, name: str) -> Any: ...

    def with_annotators(self, annotators: int) -> Self:
        """The same task with another number of annotators."""
        config = self.get_config()
        config["annotators"] = annotators
        return type(self)(**config)

    def check_values(self, labels: Tensor, allow_missing: bool = True) -> None:
        """Checks the values of labels, of any accepted shape.

        Args:
            labels: Array or eager tensor of the task's labels.
            allow_missing: Whether labels may be missing.

        Raises:
            ValueError: if a label is out of its range, or is missing
                where that is not allowed; with the first such value.
        """
        labels = ops.convert_to_numpy(labels)
        wrong = self.out_of_range(labels)
        if not allow_missing:
            wrong |= self.missing(labels)
        if wrong.any():
            index = tuple(int(each) for each in np.argwhere(wrong)[0])
            raise ValueError(
                f"Labels of task '{self.name}' must be {self.expected_values}"
                + (f" ({self.missing_value} where missing)" * allow_missing)
                + f". Received: {labels[index]} at index {index}"
            )

    def _add_annotator_axis(self, labels, rank):
        labels = ops.convert_to_tensor(labels)
        if len(labels.shape) == rank - 1:
            labels = ops.expand_dims(labels, axis=1)
        if len(labels.shape) != rank:
            raise ValueError(
                f"Labels of task '{self.name}' must have shape "
                f"{self.label_shape}. Received: shape={tuple(labels.shape)}"
            )
        return labels

    def __repr__(self):
        arguments = ", ".join(
            f"{key}={value!r}" for key, value in self.get_config().items()
        )
        return f"{type(self).__name__}({arguments})"

    def __eq__(self, other):
        alike = type(self) is type(other)
        return alike and self.get_config() == other.get_config()

    def __hash__(self):
        return hash((type(self), self.name, self.annotators))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class CategoricalTask(Task):
    """A task whose label is one of several classes.

    Args:
        name: Name of the task, a Python identifier; the key of its labels in
            a data set and of its prediction.
        num_classes: Number of classes, at least 2. May be left out when
            `class_names` is given.
        annotators: Number of annotators, each a source of noisy labels.
        class_names: Optional sequence of `num_classes` names, for tables and
            plots.

    Raises:
        ValueError: if an argument is out of its range, or `class_names` does
            not have `num_classes` entries.

    Example:

    >>> task = CategoricalTask("expression", num_classes=7, annotators=3)
    >>> [stream.name for stream in task.streams]
    ['expression_0', 'expression_1', 'expression_2']
    """

    def __init__(
        self,
        name: str,
        num_classes: int | None = None,
        annotators: int = 1,
        class_names: Sequence[str] | None = None,
    ):
        super().__init__(name, annotators)
        if class_names is not None:
            if isinstance(class_names, (str, set, frozenset, dict)):
                raise ValueError(
                    f"`class_names` of task '{name}' must be a sequence, in "
                    f"the order of the class ids. Received: {class_names!r}"
                )
            class_names = tuple(str(each) for each in class_names)
            if num_classes is None:
                num_classes = len(class_names)
        what = f"num_classes of task '{name}'"
        num_classes = int(check_number(what, num_classes, 2, integer=True))
        if class_names is not None and len(set(class_names)) != num_classes:
            raise ValueError(
                f"`class_names` of task '{name}' must be {num_classes} "
                f"different names. Received: {class_names}"
            )
        self.num_classes = num_classes
        self.class_names = class_names

    @property
    def num_outputs(self) -> int:
        """Number of classes: those of a label stream."""
        return self.num_classes

    @property
    def label_shape(self) -> str:
        """The accepted shapes of labels, for messages."""
        short = " or (batch_size,)" * (self.annotators == 1)
        return f"(batch_size, {self.annotators}){short}"

    def standardize(self, labels: Tensor) -> Tensor:
        """Gives class ids of shape `(batch_size,)` an annotator axis."""
        labels = self._add_annotator_axis(labels, rank=2)
        if not keras.backend.is_int_dtype(labels.dtype):
            raise ValueError(
                f"Labels of task '{self.name}' must be integers (class ids, "
                f"-1 where missing). Received: dtype={labels.dtype}"
            )
        # Unsigned ones have no -1, small ones not every class id.
        wide = labels.dtype in _WIDE_DTYPES
        return ops.cast(labels, "int64" if wide else "int32")

    missing_value = "-1"

    @property
    def expected_values(self) -> str:
        """What labels may be, for messages."""
        return f"class ids from 0 to {self.num_classes - 1}"

    def out_of_range(self, labels: Tensor) -> Tensor:
        """Where labels are neither a class id nor -1, boolean."""
        return (labels < -1) | (labels >= self.num_classes)

    def missing(self, labels: Tensor) -> Tensor:
        """Where labels, of any accepted shape, are not given, boolean."""
        return labels == -1

    def present(self, labels: Tensor) -> Tensor:
        """Where standardized labels are given: `(batch_size, annotators, 1)`,
        boolean."""
        return ops.expand_dims(labels >= 0, axis=-1)

    def encode(self, labels: Tensor) -> Tensor:
        """One-hot of standardized labels, zeros where missing:
        `(batch_size, annotators, num_classes)`."""
        return one_hot(labels, self.num_classes, "float32")

    def activate(self, outputs: Tensor) -> Tensor:
        """Class probabilities of the networks' raw outputs (logits)."""
        return ops.softmax(outputs, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "num_classes": self.num_classes,
            "annotators": self.annotators,
            "class_names": self.class_names,
        }


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class ContinuousTask(Task):
    """A task whose label is a vector of real values in [-1, 1].

    Args:
        name: Name of the task, a Python identifier; the key of its labels in
            a data set and of its prediction.
        dimensions: Names of the values, such as `("valence", "arousal")`.
        annotators: Number of annotators, each a source of noisy labels.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> task = ContinuousTask("affect", dimensions=("valence", "arousal"))
    >>> task.num_outputs
    2
    """

    value_range = (-1.0, 1.0)

    def __init__(
        self, name: str, dimensions: Sequence[str], annotators: int = 1
    ):
        super().__init__(name, annotators)
        if not isinstance(dimensions, (tuple, list)) or not all(
            isinstance(each, str) and each.isidentifier() for each in dimensions
        ):
            raise ValueError(
                f"`dimensions` of task '{name}' must be a sequence of "
                f"Python identifiers. Received: {dimensions!r}"
            )
        dimensions = tuple(dimensions)
        if not dimensions or len(set(dimensions)) != len(dimensions):
            raise ValueError(
                f"`dimensions` of task '{name}' must be one or more "
                f"different names. Received: {dimensions}"
            )
        self.dimensions = dimensions

    @property
    def num_outputs(self) -> int:
        """Number of dimensions: those of a label stream."""
        return len(self.dimensions)

    @property
    def label_shape(self) -> str:
        """The accepted shapes of labels, for messages."""
        short = f" or (batch_size, {self.num_outputs})" * (self.annotators == 1)
        return f"(batch_size, {self.annotators}, {self.num_outputs}){short}"

    def standardize(self, labels: Tensor) -> Tensor:
        """Gives values of shape `(batch_size, dimensions)` an annotator
        axis, as float32."""
        labels = self._add_annotator_axis(labels, rank=3)
        if not keras.backend.is_float_dtype(labels.dtype):
            raise ValueError(
                f"Labels of task '{self.name}' must be floating point "
                "(values in [-1, 1], NaN where missing). "
                f"Received: dtype={labels.dtype}"
            )
        if labels.shape[-1] != self.num_outputs:
            raise ValueError(
                f"Labels of task '{self.name}' must have shape "
                f"{self.label_shape}. Received: shape={tuple(labels.shape)}"
            )
        return ops.cast(labels, "float32")

    missing_value = "NaN"
    expected_values = "values in [-1, 1]"

    def out_of_range(self, labels: Tensor) -> Tensor:
        """Where labels are neither in [-1, 1] nor NaN, boolean."""
        # Comparisons with NaN are false: infinities are out of range.
        low, high = self.value_range
        return (labels < low) | (labels > high)

    def missing(self, labels: Tensor) -> Tensor:
        """Where labels, of any accepted shape, are not given, boolean."""
        return np.isnan(labels)

    def present(self, labels: Tensor) -> Tensor:
        """Where standardized labels are given:
        `(batch_size, annotators, dimensions)`, boolean."""
        return ops.logical_not(ops.isnan(labels))

    def encode(self, labels: Tensor) -> Tensor:
        """Standardized labels with zeros where missing:
        `(batch_size, annotators, dimensions)`."""
        return ops.where(self.present(labels), labels, ops.zeros_like(labels))

    def activate(self, outputs: Tensor) -> Tensor:
        """The networks' raw outputs, clipped to the range of the labels."""
        return ops.clip(outputs, *self.value_range)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dimensions": self.dimensions,
            "annotators": self.annotators,
        }


def one_hot(labels: Tensor, num_classes: int, dtype: str) -> Tensor:
    """One-hot vectors of class ids, zeros for -1.

    Args:
        labels: Class ids, -1 where missing, of any shape.
        num_classes: Number of classes.
        dtype: Dtype of the result.

    Returns:
        A tensor of shape `(*labels.shape, num_classes)`.
    """
    # TensorFlow's one_hot gives zeros for -1, other backends need not.
    classes = ops.arange(num_classes, dtype="int32")
    labels = ops.expand_dims(ops.cast(labels, "int32"), axis=-1)
    return ops.cast(labels == classes, dtype)


def check_tasks(tasks: Tasks) -> tuple[Task, ...]:
    """Checks a list of tasks and returns it as a tuple.

    Raises:
        ValueError: if it is empty, holds something else, or names are shared.
    """
    tasks = (tasks,) if isinstance(tasks, Task) else tuple(tasks)
    for task in tasks:
        if not isinstance(task, Task):
            raise ValueError(
                "`tasks` must hold `CategoricalTask` and `ContinuousTask` "
                f"objects. Received: {task!r}"
            )
    names = [task.name for task in tasks]
    # Dimensions have a CCC each in the logs, and all an entry in a row of
    # predictions.
    entries = list(names)
    for task in tasks:
        parts = getattr(task, "dimensions", None) or task.class_names or ()
        entries += [f"{task.name}_{each}" for each in parts]
    if not tasks or len(set(entries)) < len(entries):
        raise ValueError(
            "`tasks` must be one or more tasks with different names, none of "
            "them <task>_<dimension> or <task>_<class> of another. "
            f"Received: names={names}"
        )
    return tasks
