"""How well predictions fit the noisy labels of held-out images.

Where noise depends on the class alone and leaves most labels right, the
accuracy on noisy labels ranks models as that on clean ones does (Chen et al.,
2021, https://arxiv.org/abs/2012.04193).
"""

from collections.abc import Mapping

import numpy as np

from keras_noisyfer.labels import annotator_axis
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Labels, Tasks

# Fewer labels tell too little of a difference to choose by.
LEAST_LABELS = 50
RESAMPLES = 1000


def count_labels(tasks: Tasks, labels: Labels) -> dict[str, int]:
    """Dict by task name of the number of labels that are given."""
    counts = {}
    for task in tasks:
        given = labels[task.name]
        missing = task.missing(given).reshape(*given.shape[:2], -1)
        counts[task.name] = int((~missing.all(axis=-1)).sum())
    return counts


def resample_counts(count: int, seed: int = 0) -> np.ndarray:
    """How often each image is in each sample of a bootstrap.

    Returns:
        Array of shape `(1 + RESAMPLES, count)`, whose first row is the sample
        itself: all ones.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return np.concatenate([np.ones((1, count)), drawn])


def score_tasks(
    tasks: Tasks,
    labels: Labels,
    predictions: Mapping[str, np.ndarray],
    counts: np.ndarray | None = None,
    balanced: bool = False,
) -> dict[str, np.ndarray]:
    """The scores of consensus predictions on noisy labels.

    That of a categorical task is the accuracy over all labels that are given,
    or with `balanced` its mean over the classes that they name; that of a
    continuous task the mean CCC over annotators and dimensions.

    Args:
        tasks: The tasks.
        labels: Dict by task name of labels; clean ones may be without an
            annotator axis.
        predictions: Dict by task name of class probabilities
            `(n, num_classes)` or values `(n, dimensions)`.
        counts: Array `(samples, n)`, see `resample_counts`; by default each
            image counts once.
        balanced: Whether classes count the same.

    Returns:
        A dict by task name of arrays `(samples,)`, NaN where a sample has no
        label.
    """
    scores = {}
    for task in tasks:
        given, predicted = labels[task.name], predictions[task.name]
        if counts is None:
            counts = np.ones((1, len(given)))
        given = annotator_axis(task, given)
        function = (
            _accuracy if isinstance(task, CategoricalTask) else _concordance
        )
        scores[task.name] = function(task, given, predicted, counts, balanced)
    return scores


def _accuracy(task, labels, predicted, counts, balanced):
    # Of each image, how many labels name a class, and how many of them are
    # what is predicted.
    classes = np.arange(task.num_classes)
    named = (labels[..., None] == classes).sum(axis=1)
    right = named * (predicted.argmax(axis=-1)[:, None] == classes)
    named, right = counts @ named, counts @ right
    with np.errstate(invalid="ignore"):
        if balanced:
            return np.nanmean(right / named, axis=-1)
        return right.sum(axis=-1) / named.sum(axis=-1)


def _concordance(task, labels, predicted, counts, balanced):
    scores = []
    for each in np.moveaxis(labels, 1, 0):
        known = ~task.missing(each)
        x = np.where(known, each, 0.0).astype("float64")
        y = np.where(known, predicted, 0.0).astype("float64")
        number = counts @ known
        with np.errstate(invalid="ignore", divide="ignore"):
            x1, y1, x2, y2, xy = (
                (counts @ sums) / number for sums in (x, y, x * x, y * y, x * y)
            )
            spread = x2 - x1**2 + y2 - y1**2 + (x1 - y1) ** 2
            scores.append(2 * (xy - x1 * y1) / spread)
    scores = np.stack(scores)
    known = ~np.isnan(scores)
    total = np.where(known, scores, 0.0).sum(axis=(0, -1))
    with np.errstate(invalid="ignore"):
        return total / known.sum(axis=(0, -1))


def guess_scores(
    tasks: Tasks, labels: Labels, balanced: bool = False
) -> dict[str, float]:
    """The best scores of the same answer for all images: the share of the
    most frequent class, or with `balanced` of one class; a CCC of 0.

    The arguments are those of `score_tasks`; returns a dict by task name.
    """
    guesses = {}
    for task in tasks:
        guesses[task.name] = 0.0
        if isinstance(task, CategoricalTask):
            count = len(labels[task.name])
            scores = (
                score_tasks(
                    [task],
                    labels,
                    {task.name: np.tile(answer, (count, 1))},
                    balanced=balanced,
                )[task.name][0]
                for answer in np.eye(task.num_classes)
            )
            guesses[task.name] = float(max(scores))
    return guesses
