"""Checks of tensors' values: at once where they are known, else in the step.

A traced TensorFlow function asserts, and `one_line_errors` turns the failed
assertion into a `ValueError` of one line. A traced JAX function cannot, and
XLA leaves assertions out.
"""

import contextlib
import contextvars
import re
import warnings
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_noisyfer.distribution import (
    is_replicated,
    replica_count,
    sum_over_replicas,
)
from keras_noisyfer.typing import Shape, Tensor

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
if ON_TENSORFLOW:
    import tensorflow as tf
elif keras.backend.backend() == "jax":
    import jax

# Resized images may be a rounding error beyond 1.
MAX_VALUE = 1.001
_SCALE_WARNING = (
    "Images seem to be in [0, 1] and must be in [-1, 1], that is "
    "2 * images - 1: predictions are wrong otherwise. Received: no value "
    "below 0"
)
_CHECKING = contextvars.ContextVar("checking", default=True)

# Marks the messages of these checks among TensorFlow's own.
_MARK = "batch check"
_FAILED_CHECK = re.compile(
    _MARK
    + r"\]\s+\[(.*?Received:[^\]\n]*?)\]"
    + r"\s*\[*([-+.\w]+?)[.,]*(?:\]|\s|$)"
)
_MISSING_FILE = re.compile(
    r"(?:}} |: |^)(/[^\n]*?); No such file or directory", re.MULTILINE
)


def check_image_spec(images: Tensor, image_shape: Shape) -> None:
    """Checks shape and dtype of a batch of images.

    Args:
        images: Tensor of shape `(batch_size, height, width, channels)`.
        image_shape: The shape that one image must have.

    Raises:
        ValueError: if the shape or the dtype is wrong.
    """
    # Unknown where a traced function has had inputs of several ranks.
    ranked = getattr(images.shape, "rank", 0) is not None
    shape = tuple(images.shape) if ranked else "unknown"
    image_shape = tuple(image_shape)
    if shape[1:] != image_shape:
        advice = ""
        if not ranked or len(shape) == len(image_shape):
            advice = (
                " One image needs a batch axis, `image[None]`, and a data set "
                "`.batch(...)`."
            )
        sizes = ", ".join(map(str, image_shape))
        raise ValueError(
            f"Images must have shape (batch_size, {sizes}), the encoder's "
            f"`image_shape`.{advice} Received: shape={shape}"
        )
    if not keras.backend.is_float_dtype(images.dtype):
        raise ValueError(
            "Images must be floating point in [-1, 1], that is "
            "pixels / 127.5 - 1. "
            f"Received: dtype={keras.backend.standardize_dtype(images.dtype)}"
        )


def check_images(images: Tensor, image_shape: Shape) -> None:
    """Checks a batch of images, its values too where they are known.

    Images that are known to be in [0, 1] are warned of.

    Args:
        images: Tensor of shape `(batch_size, height, width, channels)`.
        image_shape: The shape that one image must have.

    Raises:
        ValueError: if the shape, the dtype or a value is wrong.
    """
    check_image_spec(images, image_shape)
    if not _CHECKING.get() or isinstance(images, keras.KerasTensor):
        return
    check_image_range(images)
    if is_known(images):
        warn_of_scale(lowest_value(images))


def check_image_range(images: Tensor) -> None:
    """Checks the values of images, or has a step do so."""
    largest = ops.max(ops.abs(ops.cast(images, "float32")))
    require(
        ops.logical_not(largest > MAX_VALUE),
        "Images must be in [-1, 1]. Received: absolute values up to",
        largest,
    )


@contextlib.contextmanager
def unchecked_images() -> Iterator[None]:
    """Leaves the values of images unchecked, where that was done before, or
    an exported model scales them itself: not every format has assertions."""
    token = _CHECKING.set(False)
    try:
        yield
    finally:
        _CHECKING.reset(token)


def check_share(images: Tensor) -> Tensor:
    """The images of a replica, once each is known to have some: not all
    operations take none.

    Raises:
        ValueError: if a batch has fewer images than there are replicas.
    """
    if not is_replicated():
        return images
    size = ops.shape(images)[0]
    empty = sum_over_replicas(ops.cast(ops.equal(size, 0), "int32"))
    message = (
        f"A batch must have an image for each of the {replica_count()} "
        "replicas; batching with drop_remainder=True leaves a smaller last "
        "one out. Received:"
    )
    check = require(ops.equal(empty, 0), message, sum_over_replicas(size))
    with tf.control_dependencies([check]):
        return tf.identity(images)


def lowest_value(images: Tensor) -> Tensor:
    """The lowest value of images, a scalar; -1 if all are the same, which
    says nothing of their scale."""
    images = ops.cast(images, "float32")
    lowest = ops.min(images)
    return ops.where(ops.max(images) > lowest, lowest, -1.0)


def warn_of_scale(lowest: Tensor) -> bool:
    """Warns of images without any value below 0.

    Returns:
        Whether it did.
    """
    told = bool(lowest >= 0)
    if told:
        warnings.warn(_SCALE_WARNING, stacklevel=2)
    return told


def warn_of_unchecked_values() -> None:
    """Warns that XLA leaves the checks of a step out."""
    warnings.warn(
        "Steps that XLA compiles do not check the values of a tf.data set, "
        "those of arrays alone are checked. Received: jit_compile=True",
        stacklevel=4,
    )


def require(condition: Tensor, message: str, value: Tensor) -> Any:
    """Raises `ValueError` where a condition is known not to hold.

    In a traced TensorFlow function it is asserted, by the operation that is
    returned; see `one_line_errors`. In a traced JAX function nothing is
    checked.

    Args:
        condition: Boolean scalar.
        message: Ends with `Received:`.
        value: Tensor that the message ends with, of which the first entry is
            told.
    """
    if is_known(condition):
        if not bool(condition):
            value = ops.convert_to_numpy(value).ravel()[0].item()
            value = f"{value:g}" if isinstance(value, float) else value
            raise ValueError(f"{message} {value}")
    elif ON_TENSORFLOW:
        data = [_MARK, message, value]
        return tf.debugging.Assert(condition, data, summarize=1)
    return None


def first_where(condition: Tensor, values: Tensor) -> Tensor:
    """The first of some values for which a condition holds, for `require`.

    There may be none at all, where `check_share` fails.
    """
    condition = ops.pad(ops.cast(ops.ravel(condition), "int32"), [(0, 1)])
    values = ops.pad(ops.ravel(values), [(0, 1)])
    return ops.take(values, ops.argmax(condition))


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns a failed check in a traced function into a `ValueError` of one
    line, and an image file that is gone into a `FileNotFoundError`."""
    if not ON_TENSORFLOW:
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


def is_known(tensor: Tensor) -> bool:
    """Whether a tensor has its values already, outside a traced function."""
    if ON_TENSORFLOW:
        return not isinstance(tensor, tf.Tensor) or hasattr(tensor, "numpy")
    return not isinstance(tensor, jax.core.Tracer)
