"""The data contract: what a batch holds, checked as a whole and by batches.

Shapes and dtypes are known when a step is traced. Values are not: TensorFlow's
step asserts them. On JAX and under XLA, where it cannot, arrays are checked
before the first one; data sets made by this library have been when made.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_noisyfer.arguments import describe
from keras_noisyfer.distribution import is_multi_process, replicas_of
from keras_noisyfer.labels import mean_weights, standardize_labels
from keras_noisyfer.tasks import ContinuousTask, Task
from keras_noisyfer.typing import Labels, Tasks, Tensor
from keras_noisyfer.value_checks import (
    ON_TENSORFLOW,
    check_image_range,
    first_where,
    require,
)

_INPUTS = ("image", "index")


class Batch(NamedTuple):
    """A batch on its way through a step.

    Attributes:
        images: Images in [-1, 1], shape `(batch_size, size, size, channels)`.
        labels: Standardized labels, a dict by task name, with an annotator
            axis and -1 or NaN where missing.
        sample_weight: Weights of the images, a dict by task name of float32,
            shape `(batch_size,)`, or None.
        index: Which images they are, integers of shape `(batch_size,)`, or
            None if the data set does not tell.
        mixed_in: `parts` of images that are mixtures, or None.
    """

    images: Any
    labels: dict
    sample_weight: dict | None = None
    index: Any = None
    mixed_in: Any = None

    @property
    def parts(self) -> list[tuple[Any, Labels, Any]]:
        """The labels that the images have: list of tuples of their share, the
        labels and their `sample_weight`. Several where images are mixed."""
        whole = (1.0, self.labels, self.sample_weight)
        return [whole] if self.mixed_in is None else self.mixed_in

    def weigh(self, function: Callable[..., Any]) -> Any:
        """The sum, over `parts`, of the share times a function of labels and
        weights, which returns a structure of tensors."""
        if self.mixed_in is None:
            return function(self.labels, self.sample_weight)
        results = [
            keras.tree.map_structure(
                lambda each, share=share: share * each, function(*part)
            )
            for share, *part in self.parts
        ]
        return keras.tree.map_structure(lambda *each: sum(each), *results)

    def encode(self, task: Task) -> tuple[Tensor, Tensor]:
        """A task's labels as the networks see them, zeros where missing, and
        which are given."""
        name = task.name
        encoded = self.weigh(lambda labels, _: task.encode(labels[name]))
        present = [task.present(labels[name]) for _, labels, _ in self.parts]
        return encoded, functools.reduce(ops.logical_and, present)

    @property
    def image_weights(self) -> Tensor | None:
        """The images' weights over all tasks, or None."""
        if self.sample_weight is None:
            return None
        return self.weigh(lambda _, weights: mean_weights(weights))

    @property
    def weight(self) -> Tensor:
        """How much the batch counts in a mean over the epoch."""
        if self.sample_weight is None:
            return ops.shape(self.images)[0]
        return ops.sum(self.image_weights)


def label_tuples(
    tasks: Tasks, batch: Batch, raw: Labels
) -> tuple[dict[str, Tensor], ...]:
    """What the networks of a game see of a batch's labels.

    Where a label is missing it is the encoder's own prediction, without its
    gradient, on both sides.

    Args:
        tasks: Sequence of tasks.
        batch: The `Batch`.
        raw: The encoder's raw `labels`, a dict by task name.

    Returns:
        Three dicts by task name, of tensors of the shape of `raw`: the raw
        outputs, and the noisy labels as one-hot vectors or values, for the
        discriminator to compare; and the noisy labels for the decoder, which
        sees predictions as probabilities or values.
    """
    predicted, noisy, decoder_labels = {}, {}, {}
    for task in tasks:
        name = task.name
        given, present = batch.encode(task)
        detached = ops.stop_gradient(raw[name])
        predicted[name] = ops.where(present, raw[name], detached)
        noisy[name] = ops.where(present, given, detached)
        decoder_labels[name] = ops.where(
            present, given, task.activate(detached)
        )
    return predicted, noisy, decoder_labels


def unpack_batch(
    data: Any, images: Tensor, tasks: Tasks, evaluation: bool = False
) -> Batch:
    """Takes a batch apart and checks it.

    Args:
        data: `(inputs, labels)` or `(inputs, labels, sample_weight)`.
        images: The images of its inputs, checked already.
        tasks: Sequence of tasks.
        evaluation: Whether it is evaluated, where one label, the clean one,
            may take the place of the annotators' labels.

    Returns:
        A `Batch`.

    Raises:
        ValueError: if it is not in the data contract.
    """
    inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    if labels is None:
        raise ValueError(
            "A batch must be a pair (image, labels). Received: images alone"
        )
    labels = standardize_labels(tasks, labels, evaluation)
    check_batch_labels(tasks, labels)
    if not evaluation:
        check_batch_size(tasks, ops.shape(images)[0])
    index = inputs.get("index") if isinstance(inputs, dict) else None
    return Batch(images, labels, check_batch_weights(tasks, weights), index)


def check_data(
    model: keras.Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    argument: str = "x",
) -> None:
    """Checks what `fit`, `evaluate` or `predict` is given, before it begins.

    Args:
        model: The model that it is given to.
        x: An array, a dict of arrays, or what yields batches.
        y: Labels, if `x` does not bring them.
        sample_weight: Weights, likewise.
        argument: The name of `x`, for the message.

    Raises:
        ValueError: if it is of another kind, or arrays differ in length. On
            JAX, or with `jit_compile`, also if a value is out of its range.
    """
    if x is None or isinstance(x, (list, tuple)):
        raise ValueError(
            f"`{argument}` must be an array of images, a dict with it under "
            "'image', or a data set of batches. Received: "
            f"{describe(x)}"
        )
    if hasattr(x, "batches"):
        raise ValueError(
            f"`{argument}` must be batches: those that `batches()` of the "
            f"images makes. Received: {type(x).__name__}"
        )
    if is_tf_dataset(x) and x.cardinality() == 0:
        raise ValueError(
            f"`{argument}` must hold at least one batch. Received: an empty "
            "data set"
        )
    names = [task.name for task in model.tasks]
    if y is not None and not isinstance(y, dict):
        raise ValueError(
            f"Labels must be a dict of arrays by task name, {names}. "
            f"Received: {describe(y)}"
        )
    parts = {}
    if isinstance(x, dict):
        check_inputs(x)
        parts.update(x)
    elif hasattr(x, "shape"):
        parts["image"] = x
    parts.update(y or {})
    if isinstance(sample_weight, dict):
        parts |= {f"sample_weight[{n!r}]": w for n, w in sample_weight.items()}
    elif sample_weight is not None:
        parts["sample_weight"] = sample_weight
    for name, part in parts.items():
        kind = getattr(getattr(part, "dtype", None), "kind", None)
        if not hasattr(part, "shape") or kind in ("O", "S", "U"):
            raise ValueError(
                f"`{name}` must be an array of numbers, of a class its id. "
                f"Received: {describe(part)}"
            )
    sizes = {name: len(part) for name, part in parts.items() if part.shape}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise ValueError(
            "Images, labels and weights must be of one length, at least 1. "
            f"Received: {', '.join(f'{n}={size}' for n, size in sizes.items())}"
        )
    # XLA leaves the assertions of a step out.
    if not ON_TENSORFLOW or model.jit_compile:
        _check_values(model, parts)


def check_inputs(inputs: Any) -> Tensor:
    """Checks a batch's inputs and takes the images out of them.

    Args:
        inputs: Images, or a dict of `image` and possibly `index`.

    Raises:
        ValueError: if it is something else.
    """
    if isinstance(inputs, dict):
        if "image" not in inputs or set(inputs) - set(_INPUTS):
            raise ValueError(
                "Inputs must be images, or a dict with the keys 'image' and "
                f"'index'. Received: keys={sorted(inputs)}"
            )
        index = inputs.get("index")
        if index is not None and (
            len(index.shape) != 1 or not keras.backend.is_int_dtype(index.dtype)
        ):
            raise ValueError(
                "'index' must be integers of shape (batch_size,). Received: "
                f"{describe(index)}"
            )
        inputs = inputs["image"]
    if not hasattr(inputs, "shape"):
        raise ValueError(
            f"Images must be an array. Received: {describe(inputs)}"
        )
    return inputs


def check_batch_labels(tasks: Tasks, labels: Labels) -> None:
    """Checks the range of standardized labels, a dict by task name."""
    if not ON_TENSORFLOW:
        return
    for task in tasks:
        given = labels[task.name]
        wrong = task.out_of_range(given)
        require(
            ops.logical_not(ops.any(wrong)),
            f"Labels of task '{task.name}' must be {task.expected_values} "
            f"({task.missing_value} where missing). Received:",
            first_where(wrong, given),
        )


def check_batch_weights(
    tasks: Tasks, sample_weight: Any
) -> dict[str, Tensor] | None:
    """Checks a batch's sample weights.

    Args:
        tasks: Sequence of tasks.
        sample_weight: Numbers of shape `(batch_size,)`, a dict of them by
            task name, which Keras makes of arrays, or None.

    Returns:
        A dict by task name of the images' weights, float32, or None.

    Raises:
        ValueError: if a shape or dtype is wrong, or a weight is negative or
            not finite.
    """
    if sample_weight is None:
        return None
    names = [task.name for task in tasks]
    if not isinstance(sample_weight, dict):
        sample_weight = dict.fromkeys(names, sample_weight)
    if set(sample_weight) != set(names):
        raise ValueError(
            "`sample_weight` must be an array, or a dict of arrays with the "
            f"keys {names}. Received: keys={sorted(sample_weight)}"
        )
    return {name: _check_weights(sample_weight[name]) for name in names}


def _check_weights(sample_weight):
    if len(getattr(sample_weight, "shape", ())) != 1:
        raise ValueError(
            "`sample_weight` must be numbers of shape (batch_size,), one an "
            f"image. Received: {describe(sample_weight)}"
        )
    weights = ops.cast(sample_weight, "float32")
    if ON_TENSORFLOW:
        # Not finite if one is not.
        lowest, total = ops.min(weights), ops.sum(weights)
        require(
            ops.logical_and(lowest >= 0, ops.isfinite(total)),
            "`sample_weight` must be finite and at least 0. Received:",
            ops.where(lowest >= 0, total, lowest),
        )
    return weights


def check_batch_size(tasks: Tasks, batch_size: Tensor) -> None:
    """Checks that a training batch defines a concordance."""
    continuous = [t.name for t in tasks if isinstance(t, ContinuousTask)]
    if continuous:
        require(
            batch_size >= 2,
            "A training batch must have at least 2 elements for the "
            f"concordance of task '{continuous[0]}'; batching with "
            "drop_remainder=True leaves a smaller last one out. Received:",
            batch_size,
        )


def _check_values(model, parts):
    """Checks NumPy arrays where a step cannot."""
    for name, part in parts.items():
        if not isinstance(part, np.ndarray):
            continue
        if name == "image" and part.dtype.kind == "f":
            check_image_range(part)
        elif name.startswith("sample_weight"):
            require(
                bool(np.isfinite(part).all() and part.min() >= 0),
                "`sample_weight` must be finite and at least 0. Received:",
                part.min(),
            )
        for task in model.tasks:
            if task.name == name:
                task.check_values(part)


def check_shards(
    model: keras.Model, batch_size: int | None = None, **data: Any
) -> None:
    """Raises `ValueError` where Keras could not share out batches among
    processes or replicas, which it finds in the course of `fit`.

    Args:
        model: The model that they are given to.
        batch_size: Number of images a batch of arrays; 32 if None.
        **data: What is given to `fit` or `evaluate`, by argument.
    """
    replicas = replicas_of(model)
    for argument, given in data.items():
        if not is_tf_dataset(given):
            parts = keras.tree.flatten(given)
            size = batch_size or 32 if hasattr(parts[0], "shape") else None
        else:
            size = keras.tree.flatten(given.element_spec)[0].shape[0]
            if is_multi_process() and size is None:
                raise ValueError(
                    f"`{argument}` must have batches of one size, to be "
                    "shared out among the processes: for evaluation take a "
                    "number of images that is a multiple of the batch size. "
                    "Received: a data set with a smaller last batch"
                )
        if size is not None and size % replicas:
            raise ValueError(
                f"`{argument}` must have batches that can be shared out "
                f"among {replicas} replicas. Received: batch size {size}"
            )


def is_tf_dataset(data: Any) -> bool:
    """Whether data is a `tf.data.Dataset`; TensorFlow need not be there."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(data, tensorflow.data.Dataset)


def batch_shapes(x: Any, y: Any = None, **_: Any) -> list[tuple[Any, ...]]:
    """Shapes of what `fit` or `evaluate` is given, but for the first
    dimension; none where they are not known."""
    given = x.element_spec if is_tf_dataset(x) else x if y is None else y
    return [
        tuple(each.shape[1:])
        for each in keras.tree.flatten(given)
        if hasattr(each, "shape")
    ]
