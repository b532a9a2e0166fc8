"""Checks of a batch's values within a step.

Shapes and dtypes are known when a step is traced. Values are not: they are
asserted, and the assertion's failure becomes a `ValueError` of one line. On
JAX, where a step cannot assert, arrays are checked before the first step; data
sets made by this library have been when they were made.
"""

import contextlib
import re

import keras
import numpy as np

from keras_noisyfer.tasks import ContinuousTask

ASSERTS_VALUES = keras.backend.backend() == "tensorflow"
if ASSERTS_VALUES:
    import tensorflow as tf

# Resized images may be a rounding error beyond 1.
_MAX_VALUE = 1.001
_IMAGES_RANGE = "Images must be in [-1, 1]. Received: absolute values up to"

# Marks the messages of these checks among TensorFlow's own.
_MARK = "batch check"
# `[mark] [message] [value]` from a traced step; from an eager one a line each,
# `b"..."` the first two.
_FAILED_CHECK = re.compile(
    _MARK
    + r"""[\]'"]+\s+(?:\[|b['"])(.*?Received:[^\]\n]*?)(?:\]|['"]\n)"""
    + r"""\s*\[*([-+.\w]+?)[.,]*(?:\]|\s|$)"""
)
_MISSING_FILE = re.compile(
    r"(?:}} |: |^)(/[^\n]*?); No such file or directory", re.MULTILINE
)


def check_arrays(model, images=None, labels=None):
    """Checks the values of arrays where the step cannot.

    Args:
        model: The `MultiTaskClassifier` that they are given to.
        images: What `fit` is given as `x`; only an array is checked.
        labels: What it is given as `y`; only a dict of arrays is checked.

    Raises:
        ValueError: if a value is out of its range.
    """
    if ASSERTS_VALUES:
        return
    if isinstance(images, np.ndarray) and images.dtype.kind == "f":
        largest = np.abs(images).max(initial=0.0)
        if not largest <= _MAX_VALUE:
            raise ValueError(f"{_IMAGES_RANGE} {largest}")
    if isinstance(labels, dict):
        for task in model.tasks:
            if isinstance(labels.get(task.name), np.ndarray):
                task.check_values(labels[task.name])


def check_batch_images(images, image_shape):
    """Checks shape, dtype and range of a batch of images.

    Args:
        images: Tensor of shape `(batch_size, height, width, channels)`.
        image_shape: The shape that one image must have.

    Raises:
        ValueError: if the shape or the dtype is wrong.
    """
    if tuple(images.shape[1:]) != tuple(image_shape):
        shape = ", ".join(map(str, image_shape))
        raise ValueError(
            f"Images must have shape (batch_size, {shape}), the encoder's "
            f"`image_shape`. Received: shape={tuple(images.shape)}"
        )
    if not keras.backend.is_float_dtype(images.dtype):
        raise ValueError(
            "Images must be floating point in [-1, 1]. "
            f"Received: dtype={images.dtype}"
        )
    if not ASSERTS_VALUES:
        return
    largest = tf.reduce_max(tf.abs(tf.cast(images, "float32")))
    require(tf.logical_not(largest > _MAX_VALUE), _IMAGES_RANGE, largest)


def check_batch_index(index):
    """Checks that what follows the labels tells which images a batch holds.

    Args:
        index: Integer tensor of shape `(batch_size,)`, or None.

    Raises:
        ValueError: if it is something else, such as sample weights.
    """
    if index is None:
        return
    shape = getattr(index, "shape", None)
    dtype = getattr(index, "dtype", type(index).__name__)
    if (
        shape is None
        or len(shape) != 1
        or not keras.backend.is_int_dtype(index.dtype)
    ):
        raise ValueError(
            "A batch must be (image, labels) or (image, labels, index), its "
            "`index` integers of shape (batch_size,); there are no sample "
            f"weights. Received: {dtype} of shape {shape}"
        )


def check_batch_labels(tasks, labels):
    """Checks the range of standardized labels, a dict by task name."""
    if not ASSERTS_VALUES:
        return
    for task in tasks:
        given = labels[task.name]
        wrong = tf.boolean_mask(given, task.out_of_range(given))
        require(
            tf.size(wrong) == 0,
            f"Labels of task '{task.name}' must be {task.expected_values} "
            f"({task.missing_value} where missing). Received:",
            wrong,
        )


def check_batch_size(tasks, batch_size):
    """Checks that a training batch defines a concordance."""
    continuous = [t.name for t in tasks if isinstance(t, ContinuousTask)]
    if not continuous:
        return
    message = (
        "A training batch must have at least 2 elements for the "
        f"concordance of task '{continuous[0]}'; batching with "
        "drop_remainder=True leaves a smaller last one out. Received:"
    )
    if ASSERTS_VALUES:
        require(batch_size >= 2, message, batch_size)
    elif batch_size < 2:
        raise ValueError(f"{message} {batch_size}")


@contextlib.contextmanager
def one_line_errors():
    """Turns a failed check of a batch into a `ValueError` of one line, and an
    image file that is gone into a `FileNotFoundError`."""
    if not ASSERTS_VALUES:
        yield
        return
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = _FAILED_CHECK.search(error.message)
        if found is None:
            raise
        message, value = found.groups()
        message = message.replace("\\'", "'")
        raise ValueError(f"{message} {value}") from None
    except tf.errors.NotFoundError as error:
        found = _MISSING_FILE.search(error.message)
        if found is None:
            raise
        raise FileNotFoundError(
            "The images must stay where they were when the data set was made. "
            f"Received: no file {found.group(1)}"
        ) from None


def require(condition, message, value):
    """Asserts within a step; see `one_line_errors`."""
    tf.debugging.Assert(condition, [_MARK, message, value], summarize=1)
