"""Checks of arguments, missing labels and seeds: what the others share."""

import numbers
from typing import Any

import numpy as np

from keras_noisyfer.typing import ArrayLike, Seed

MISSING = -1


def make_generator(seed: Seed, purpose: str) -> np.random.Generator:
    """Returns the generator of a seed, another one for each purpose."""
    if isinstance(seed, np.random.Generator):
        return seed
    valid = isinstance(seed, numbers.Integral) and seed >= 0
    require(valid, "`seed` must be an int >= 0 or a np.random.Generator", seed)
    # The purpose keeps two functions with the same seed independent: else
    # `drop_labels` would drop the very labels that `flip_labels` flipped.
    return np.random.default_rng([int(seed), *purpose.encode()])


def require(condition: Any, expected: str, received: object) -> None:
    """Raises a `ValueError` of one line unless the condition holds."""
    if not condition:
        raise ValueError(f"{expected}. Received: {received}")


def check_array(
    name: str, array: ArrayLike, kind: type, *ranks: int
) -> np.ndarray:
    """Returns a non-empty array of that kind and one of the ranks."""
    array = np.asarray(array)
    valid = np.issubdtype(array.dtype, kind) and array.ndim in ranks
    rank = " or ".join(map(str, ranks))
    expected = f"`{name}` must be an array of {kind.__name__}, rank {rank}"
    received = f"{array.dtype} array of shape {array.shape}"
    require(valid and array.size, f"{expected}, not empty", received)
    return array


def check_class_ids(
    name: str, labels: ArrayLike, num_classes: int, *ranks: int
) -> np.ndarray:
    """Returns class ids, or -1, as int32."""
    valid = isinstance(num_classes, numbers.Integral) and num_classes >= 2
    require(valid, "`num_classes` must be an int >= 2", num_classes)
    labels = check_array(name, labels, np.integer, *(ranks or (1,)))
    outside = labels[(labels < MISSING) | (labels >= num_classes)]
    expected = f"`{name}` must be -1 or class ids in [0, {num_classes})"
    require(not outside.size, expected, outside[:3])
    return labels.astype("int32")


def check_labels(name: str, labels: ArrayLike) -> np.ndarray:
    """Returns class ids as int32, or values as float32."""
    if np.issubdtype(np.asarray(labels).dtype, np.floating):
        return check_array(name, labels, np.floating, 2, 3).astype("float32")
    return check_class_ids(name, labels, 2**31, 1, 2)


def is_missing(labels: np.ndarray) -> np.ndarray:
    """Where labels are -1 or NaN."""
    return labels == MISSING if labels.dtype == "int32" else np.isnan(labels)


def nanmean(values: np.ndarray, axis: int) -> np.ndarray:
    """`np.nanmean` in float64, without its warning where all are missing."""
    count = (~np.isnan(values)).sum(axis)
    total = np.nansum(values, axis, dtype="float64")
    return np.divide(total, count, out=total * np.nan, where=count > 0)
