"""Labels left out."""

import numpy as np

from keras_noisyfer.arguments import check_number
from keras_noisyfer.noise.checks import (
    MISSING,
    check_labels,
    make_generator,
    require,
)
from keras_noisyfer.typing import ArrayLike, Seed


def drop_labels(labels: ArrayLike, rate: float, seed: Seed = 0) -> np.ndarray:
    """Makes a random fraction of labels missing.

    Args:
        labels: Class ids of shape `(n,)` or `(n, annotators)`, or values of
            shape `(n, dimensions)` or `(n, annotators, dimensions)`, whose
            dimensions go missing together.
        rate: Probability in `[0, 1]` that a label goes missing.
        seed: Int or `np.random.Generator`.

    Returns:
        int32 or float32 array, shaped like `labels`.
    """
    check_number("rate", rate, minimum=0, maximum=1)
    labels = check_labels("labels", labels)
    categorical = labels.dtype == "int32"
    shape = labels.shape if categorical else labels.shape[:-1]
    dropped = make_generator(seed, "drop_labels").random(shape) < rate
    labels[dropped] = MISSING if categorical else np.nan
    return labels


def keep_labels(labels: ArrayLike, count: int, seed: Seed = 0) -> np.ndarray:
    """Keeps a few labels of each image, as a crowd gives them.

    Args:
        labels: Class ids of shape `(n, annotators)`, or values of shape
            `(n, annotators, dimensions)`.
        count: Number of annotators, drawn for each image, whose labels stay;
            at least 1.
        seed: Int or `np.random.Generator`.

    Returns:
        int32 or float32 array, shaped like `labels`; the others are missing.

    Raises:
        ValueError: if there are fewer annotators.
    """
    labels = check_labels("labels", labels)
    categorical = labels.dtype == "int32"
    require(
        labels.ndim == 3 - categorical,
        "`labels` must have an annotator axis: class ids, integers, of shape "
        "(n, annotators), or values (n, annotators, dimensions)",
        f"{labels.dtype} array of shape {labels.shape}",
    )
    check_number("count", count, 1, maximum=labels.shape[1], integer=True)
    draws = make_generator(seed, "keep_labels").random(labels.shape[:2])
    dropped = draws.argsort(axis=1).argsort(axis=1) >= count
    labels[dropped] = MISSING if categorical else np.nan
    return labels
