"""Checks of what a model is given: at once as a whole, in a step by batches.

Shapes and dtypes are known when a step is traced. Values are not: TensorFlow's
step asserts them. On JAX, whose step cannot, arrays are checked before the
first one; data sets made by this library have been when they were made.
"""

import keras
import numpy as np
from keras import ops

from keras_noisyfer.arguments import describe
from keras_noisyfer.models.training import is_tf_dataset
from keras_noisyfer.tasks import ContinuousTask
from keras_noisyfer.value_checks import (
    ON_TENSORFLOW,
    check_image_range,
    require,
)

_INPUTS = ("image", "index")


def check_data(model, x, y=None, sample_weight=None, argument="x"):
    """Checks what `fit`, `evaluate` or `predict` is given, before it begins.

    Args:
        model: The `MultiTaskClassifier` that it is given to.
        x: An array, a dict of arrays, or what yields batches.
        y: Labels, if `x` does not bring them.
        sample_weight: Weights, likewise.
        argument: The name of `x`, for the message.

    Raises:
        ValueError: if it is of another kind, or arrays differ in length. On
            JAX also if a value is out of its range.
    """
    if x is None or isinstance(x, (list, tuple)):
        raise ValueError(
            f"`{argument}` must be an array of images, a dict with it under "
            "'image', or a data set of batches. Received: "
            f"{describe(x)}"
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
        if not hasattr(part, "shape"):
            raise ValueError(
                f"`{name}` must be an array. Received: {describe(part)}"
            )
    sizes = {name: len(part) for name, part in parts.items() if part.shape}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise ValueError(
            "Images, labels and weights must be of one length, at least 1. "
            f"Received: {', '.join(f'{n}={size}' for n, size in sizes.items())}"
        )
    if not ON_TENSORFLOW:
        _check_values(model, parts)


def refuse_class_weight(options):
    """Raises `ValueError` if the options of a call have `class_weight`."""
    if options.get("class_weight") is not None:
        raise ValueError(
            "`class_weight` must be None, since labels of several tasks have "
            "classes of their own; `sample_weight` weighs the images. "
            f"Received: {options['class_weight']}"
        )


def check_inputs(inputs):
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


def check_batch_labels(tasks, labels):
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
            # The first of them.
            ops.take(ops.ravel(given), ops.argmax(ops.ravel(wrong))),
        )


def check_batch_weights(tasks, sample_weight):
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


def check_batch_size(tasks, batch_size):
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
