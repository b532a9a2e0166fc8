"""Whether annotators make the same mistakes, as far as their labels tell.

Where the noise of each annotator depends on the class alone, they are
independent given the class, as the model of Dawid and Skene (1979) has it.
Images that are hard for all make more images on which they agree, and more on
which they do not, than that model allows. Annotators who all see the same wrong
class cannot be told from right ones.
"""

import numpy as np

from keras_noisyfer.noise.checks import MISSING

_STEPS = 50
_SIMULATIONS = 200
# Of which the answer is clear.
_MOST_IMAGES = 5000
LEAST_IMAGES = 50
LEAST_ANNOTATORS = 3


def share_mistakes(
    labels: np.ndarray, num_classes: int, seed: int = 0
) -> bool | None:
    """Whether class labels vary together more than their classes explain.

    The model is fitted to the labels by expectation maximization and then
    simulated; compared is the variance, over the images, of the fraction of
    pairs of annotators that agree.

    Args:
        labels: Class ids of shape `(n, annotators)`, -1 where missing.
        num_classes: Number of classes.
        seed: Of the simulation.

    Returns:
        True if that of the labels is above 99 % of those simulated; None if
        fewer than 50 images have three labels, of which nothing can be told.

    Reference:

    - [Dawid and Skene, 1979](https://doi.org/10.2307/2346806)
    """
    labels = labels[(labels != MISSING).sum(axis=1) >= LEAST_ANNOTATORS]
    labels = labels[:_MOST_IMAGES]
    if len(labels) < LEAST_IMAGES:
        return None
    generator = np.random.default_rng(seed)
    prior, confusion = _fit(labels, num_classes)
    drawn = [
        _spread(_simulate(labels, prior, confusion, generator))
        for _ in range(_SIMULATIONS)
    ]
    return bool(_spread(labels) > np.quantile(drawn, 0.99))


def _fit(labels, num_classes):
    """Class frequencies, and a confusion matrix an annotator."""
    given = (labels[..., None] == np.arange(num_classes)).astype("float64")
    truth = given.mean(axis=1)
    for _ in range(_STEPS):
        truth /= truth.sum(axis=1, keepdims=True)
        prior = truth.mean(axis=0)
        confusion = np.einsum("nk,nac->akc", truth, given) + 1e-2
        confusion /= confusion.sum(axis=-1, keepdims=True)
        scores = np.einsum("nac,akc->nk", given, np.log(confusion))
        scores += np.log(prior + 1e-12)
        truth = np.exp(scores - scores.max(axis=1, keepdims=True))
    return prior, confusion


def _simulate(labels, prior, confusion, generator):
    truth = generator.choice(len(prior), len(labels), p=prior)
    cumulative = confusion.cumsum(axis=-1)[:, truth]
    draws = generator.random((*cumulative.shape[:2], 1))
    drawn = (draws > cumulative[..., :-1]).sum(axis=-1).T
    return np.where(labels == MISSING, MISSING, drawn)


def _spread(labels):
    first, second = np.triu_indices(labels.shape[1], k=1)
    known = (labels[:, first] != MISSING) & (labels[:, second] != MISSING)
    equal = known & (labels[:, first] == labels[:, second])
    return np.var(equal.sum(axis=1) / known.sum(axis=1))
