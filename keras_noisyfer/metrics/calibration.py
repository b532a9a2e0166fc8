"""How far a classifier's probabilities can be believed."""

import numpy as np

from keras_noisyfer.arguments import check_number
from keras_noisyfer.labels import are_probabilities
from keras_noisyfer.noise.checks import check_array, check_class_ids, require
from keras_noisyfer.typing import ArrayLike


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often predictions of a confidence are right.

    A prediction is the most probable class, its confidence that probability.

    Args:
        labels: True class ids, -1 where missing, shape `(n,)`.
        probabilities: Shape `(n, num_classes)`, each row with the sum 1.
        bins: Number of intervals of [0, 1] of equal width, at least 1.

    Returns:
        Mean confidence, accuracy and number of the labelled predictions in
        each interval, of shape `(bins,)`; NaN, NaN and 0 where there is none.

    Raises:
        ValueError: If an argument is of the wrong kind or has no label.
    """
    probabilities = check_array("probabilities", probabilities, np.floating, 2)
    labels = check_class_ids("labels", labels, probabilities.shape[1])
    require(
        len(labels) == len(probabilities),
        f"`labels` must have one entry for each of {len(probabilities)} rows "
        "of probabilities",
        len(labels),
    )
    require(bool((labels >= 0).any()), "`labels` must have a label", "none")
    check_number("bins", bins, minimum=1, integer=True)
    require(
        are_probabilities(probabilities),
        "`probabilities` must be at least 0 with the sum 1 a row",
        f"values from {probabilities.min():.3g} to {probabilities.max():.3g}",
    )
    confidence = probabilities.max(axis=1)[labels >= 0]
    right = (probabilities.argmax(axis=1) == labels)[labels >= 0]
    # An edge belongs to the interval below it, 0 to the first.
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean, accuracy = (
            np.bincount(place, each, bins) / count
            for each in (confidence, right)
        )
    return mean, accuracy, count


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 10
) -> float:
    """Mean difference of confidence and accuracy, in [0, 1].

    Args:
        labels: See `reliability`, as `probabilities` and `bins`.
        probabilities: Array.
        bins: Integer.

    Returns:
        The mean over the intervals, weighted by their numbers of predictions.

    Raises:
        ValueError: As `reliability`.

    Example:

    >>> expected_calibration_error([0, 1], [[0.8, 0.2], [0.8, 0.2]])
    0.30000000000000004

    Reference:

    - [Guo et al., 2017](https://arxiv.org/abs/1706.04599)
    """
    confidence, accuracy, count = reliability(labels, probabilities, bins)
    gap = np.nan_to_num(np.abs(confidence - accuracy))
    return float(np.average(gap, weights=count))
