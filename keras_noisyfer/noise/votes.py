"""One label an image from those of several annotators."""

from typing import Any

import numpy as np

from keras_noisyfer.arguments import check_number
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


def draw_votes(votes: ArrayLike, annotators: int, seed: Any = 0) -> np.ndarray:
    """Draws some of the votes of each image, without replacement.

    Makes annotators of the votes that a crowd cast: each is one vote of every
    image, of nobody in particular.

    Args:
        votes: Integer array of shape `(n, options)`, the number of votes for
            each option.
        annotators: Number of votes that are drawn an image, at least 1.
        seed: Seed of `np.random.default_rng`. Another number of annotators
            leaves the votes of the first ones as they are.

    Returns:
        int32 array of shape `(n, annotators)`: the options voted for; -1 where
        an image has no more votes.

    Raises:
        ValueError: If an argument is out of range or of the wrong kind.

    Example:

    >>> draw_votes([[0, 3], [1, 0]], annotators=2)
    array([[ 1,  1],
           [ 0, -1]], dtype=int32)
    """
    votes = check_array("votes", votes, np.integer, 2)
    if votes.min(initial=0) < 0:
        raise ValueError(f"`votes` must be at least 0. Received: {votes.min()}")
    check_number("annotators", annotators, minimum=1, integer=True)
    given = votes.sum(axis=1, keepdims=True)
    # A row an image: one entry a vote, then missing ones.
    is_vote = np.arange(given.max(initial=0)) < given
    ballots = np.full(is_vote.shape, MISSING, "int32")
    options = np.tile(np.arange(votes.shape[1]), len(votes))
    ballots[is_vote] = np.repeat(options, votes.reshape(-1))
    turn = np.random.default_rng(seed).random(ballots.shape)
    order = np.argsort(np.where(is_vote, turn, np.inf), axis=1)
    drawn = np.take_along_axis(ballots, order[:, :annotators], axis=1)
    missing = ((0, 0), (0, annotators - drawn.shape[1]))
    return np.pad(drawn, missing, constant_values=MISSING)
