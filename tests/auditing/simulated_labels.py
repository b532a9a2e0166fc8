"""Images of known classes, with labels and predictions that err."""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Simulated:
    truth: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray


def uniform_confusion(num_classes, rate):
    matrix = np.full((num_classes, num_classes), rate / (num_classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def simulate(
    count,
    confusion,
    strength,
    prior=None,
    overconfidence=1.0,
    missing=0.0,
    seed=0,
):
    """Labels by confusion matrices; predictions of a Gaussian classifier.

    `strength` is the distance of the classes for it; with an
    `overconfidence` of 1 its probabilities are right where classes are
    balanced.
    """
    generator = np.random.default_rng(seed)
    num_classes = len(confusion[0])
    truth = generator.choice(num_classes, count, p=prior).astype("int32")
    labels = np.stack(
        [
            [generator.choice(num_classes, p=matrix[each]) for each in truth]
            for matrix in confusion
        ],
        axis=1,
    ).astype("int32")
    labels[generator.random(labels.shape) < missing] = -1
    evidence = generator.normal(size=(count, num_classes))
    evidence[np.arange(count), truth] += strength
    scores = np.exp(overconfidence * strength * evidence)
    return Simulated(truth, labels, scores / scores.sum(axis=1, keepdims=True))
