"""One label an image from those of several annotators."""

import numpy as np

from keras_noisyfer.noise.checks import (
    MISSING,
    check_array,
    check_class_ids,
    make_generator,
    nanmean,
)
from keras_noisyfer.typing import ArrayLike, Seed


def majority_vote(
    labels: ArrayLike, num_classes: int, seed: Seed = 0
) -> np.ndarray:
    """Returns the class most annotators chose, ties broken at random.

    Args:
        labels: Integer array of shape `(n, annotators)`, missing ones ignored.
        num_classes: Number of classes, at least 2.
        seed: Int or `np.random.Generator`, for the ties.

    Returns:
        int32 array of shape `(n,)`; -1 where every label is missing.
    """
    labels = check_class_ids("labels", labels, num_classes, 2)
    rows, columns = np.nonzero(labels != MISSING)
    ballots = rows * num_classes + labels[rows, columns]
    votes = np.bincount(ballots, minlength=len(labels) * num_classes)
    votes = votes.reshape(-1, num_classes)
    # Less than one vote each, so it decides between equal counts only.
    tie_break = make_generator(seed, "majority_vote").random(votes.shape) / 2
    winner = np.argmax(votes + tie_break, axis=1)
    return np.where(votes.any(axis=1), winner, MISSING).astype("int32")


def mean_vote(values: ArrayLike) -> np.ndarray:
    """Returns the mean of the annotators' values.

    Args:
        values: Float array of shape `(n, annotators, dimensions)`, missing
            ones ignored.

    Returns:
        float32 array of shape `(n, dimensions)`; NaN where all are missing.
    """
    values = check_array("values", values, np.floating, 3)
    return nanmean(values, axis=1).astype("float32")


def estimate_noise_rates(labels: ArrayLike, num_classes: int) -> np.ndarray:
    """Each annotator's fraction of wrong classes, without any clean one.

    It is that of the labels which differ from their images' majority vote,
    which is right more often than they are. Images with fewer than three
    labels do not count.

    Args:
        labels: Integer array of shape `(n, annotators)`, missing ones ignored.
        num_classes: Number of classes, at least 2.

    Returns:
        float64 array of shape `(annotators,)`, NaN where it is not known.

    Raises:
        ValueError: If an argument is out of range or of the wrong kind.

    Example:

    >>> estimate_noise_rates([[0, 0, 1], [1, 1, 1]], num_classes=2)
    array([0. , 0. , 0.5])
    """
    labels = check_class_ids("labels", labels, num_classes, 2)
    given = labels != MISSING
    given &= given.sum(axis=1, keepdims=True) > 2
    consensus = majority_vote(labels, num_classes)
    wrong = given & (labels != consensus[:, None])
    with np.errstate(invalid="ignore"):
        return wrong.sum(axis=0) / given.sum(axis=0)
