"""Labels left out."""

import numpy as np

from keras_noisyfer.noise.checks import (
    MISSING,
    check_labels,
    check_rate,
    make_generator,
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
    check_rate("rate", rate)
    labels = check_labels("labels", labels)
    categorical = labels.dtype == "int32"
    shape = labels.shape if categorical else labels.shape[:-1]
    dropped = make_generator(seed, "drop_labels").random(shape) < rate
    labels[dropped] = MISSING if categorical else np.nan
    return labels
