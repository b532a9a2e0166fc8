"""Probabilities of the true classes, from predictions and all labels."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln, log_softmax, softmax

from keras_noisyfer.auditing.findings import ClassFindings
from keras_noisyfer.noise import MISSING
from keras_noisyfer.noise.checks import nanmean

_ITERATIONS = 100
# Change of any probability at which the iterations end.
_TOLERANCE = 1e-4
# Labels a class that an annotator's matrix may count beside the given ones.
_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
# The exponent of the predictions: 0 ignores them, and one above 3 is of
# predictions that have seen the labels.
_EXPONENTS = (0.0, 3.0)
_MIN_VARIANCE = 1e-4
_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class ClassPosterior:
    """What is known of the true classes of a task.

    Attributes:
        probabilities: Of the true classes, `(n, num_classes)`.
        confusion: Of the annotators, `(annotators, num_classes,
            num_classes)`: row i holds the expected shares of the labels given
            to images of class i. Not shrunk: they tell of these labels, not
            of the annotator's next ones.
    """

    probabilities: np.ndarray
    confusion: np.ndarray

    def judge(self, labels: np.ndarray) -> ClassFindings:
        """`ClassFindings` of labels `(n, annotators)`: a label's score is the
        probability of the class that it names."""
        given = labels != MISSING
        scores = np.take_along_axis(
            self.probabilities, np.where(given, labels, 0), axis=1
        )
        scores = np.where(given, scores, np.nan)
        return ClassFindings(
            consensus=self.probabilities.argmax(axis=1),
            confidence=self.probabilities.max(axis=1),
            scores=scores,
            noise_rates=nanmean(1 - scores, axis=0),
            confusion=self.confusion,
        )


def fit_class_posterior(
    labels: np.ndarray,
    predictions: np.ndarray,
    values: Sequence[np.ndarray] = (),
) -> ClassPosterior:
    """The classes' probabilities given predictions and all labels.

    Of an image x of class y the annotators and the values of continuous tasks
    say what they say independently of each other,

    `p(y | x, l, v)
    ~ p(y | x)^b exp(c_y) prod_a C_a[y, l_a] prod_v N(v; m_y, S_y)`

    with an annotator's confusion matrix C_a and a Gaussian of the values of
    each class. Matrices, Gaussians, the exponent b, which takes back what the
    predictions are too certain of, and the offsets c, which correct how often
    they name each class, are estimated together with the probabilities by
    expectation maximisation, without any true class.

    A matrix has more entries than few labels can tell. It is shrunk towards
    that of an annotator who errs alike in all classes, by as much as makes
    the labels most probable. Covariances are shrunk towards their mean.

    Args:
        labels: Class ids, `(n, annotators)`, -1 where missing.
        predictions: Class probabilities of a model, `(n, num_classes)`;
            best of a model that has not seen the image's labels.
        values: Sequence of arrays `(n, dimensions)` of continuous labels, NaN
            where missing.

    Returns:
        A `ClassPosterior`.

    Reference:

    - [Dawid and Skene, 1979](https://doi.org/10.2307/2346806), the matrices
    - [Raykar et al., 2010](https://jmlr.org/papers/v11/raykar10a.html), the
      classifier beside them
    """
    predictions = np.asarray(predictions, "float64")
    num_classes = predictions.shape[1]
    log_predictions = np.log(np.maximum(predictions, _TINY))
    given = labels != MISSING
    # (n, annotators, num_classes), zeros where missing.
    one_hot = np.eye(num_classes)[np.where(given, labels, 0)] * given[..., None]
    probabilities = predictions + one_hot.sum(axis=1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    calibration = np.array([1.0, *np.zeros(num_classes)])
    for _ in range(_ITERATIONS):
        counts = np.einsum("ni,naj->aij", probabilities, one_hot)
        confusion = np.stack([_shrunk_confusion(each) for each in counts])
        calibration = _calibrate(log_predictions, probabilities, calibration)
        log_joint = calibration[0] * log_predictions + calibration[1:]
        log_joint += np.einsum("aij,naj->ni", np.log(confusion), one_hot)
        for each in values:
            log_joint += _log_gaussians(each, probabilities)
        updated = softmax(log_joint, axis=1)
        change = np.abs(updated - probabilities).max(initial=0.0)
        probabilities = updated
        if change < _TOLERANCE:
            break
    counts = np.einsum("ni,naj->aij", probabilities, one_hot)
    totals = counts.sum(axis=-1, keepdims=True)
    shares = np.full_like(counts, np.nan)
    # Of a class that nobody shows nothing is known.
    np.divide(counts, totals, out=shares, where=totals >= 0.5)
    return ClassPosterior(probabilities, shares)


def _shrunk_confusion(counts):
    """Rows of probabilities from expected counts of (class, label)."""
    num_classes = len(counts)
    correct = (np.trace(counts) + 1) / (counts.sum() + 2)
    mean = np.full_like(counts, (1 - correct) / (num_classes - 1))
    np.fill_diagonal(mean, correct)
    # The Dirichlet-multinomial likelihood of the counts.
    totals = counts.sum(axis=1)

    def log_likelihood(strength):
        prior = strength * mean
        rows = gammaln(strength) - gammaln(strength + totals)
        return rows.sum() + (gammaln(prior + counts) - gammaln(prior)).sum()

    strength = max(_STRENGTHS, key=log_likelihood)
    return (counts + strength * mean) / (totals + strength)[:, None]


def _calibrate(log_predictions, probabilities, start):
    """The exponent and the offsets of the classes that make the predictions
    most like the probabilities."""
    count = len(probabilities)

    def cross_entropy(parameters):
        exponent, offsets = parameters[0], parameters[1:]
        scores = log_softmax(exponent * log_predictions + offsets, axis=1)
        excess = np.exp(scores) - probabilities
        gradient = np.concatenate(
            [[(excess * log_predictions).sum()], excess.sum(axis=0)]
        )
        # Offsets tell less than one image a class.
        value = -(probabilities * scores).sum() + 0.5 * (offsets**2).sum()
        gradient[1:] += offsets
        return value / count, gradient / count

    bounds = [_EXPONENTS, *[(None, None)] * probabilities.shape[1]]
    return minimize(
        cross_entropy, start, jac=True, method="L-BFGS-B", bounds=bounds
    ).x


def _log_gaussians(values, probabilities):
    """Log-densities of values in each class, zero where one is missing."""
    known = ~np.isnan(values).any(axis=1)
    result = np.zeros_like(probabilities)
    if not known.any():
        return result
    values = values[known].astype("float64")
    weights = probabilities[known]
    totals = weights.sum(axis=0)
    overall = values.mean(axis=0)
    # A class without values has the mean of all.
    means = (weights.T @ values + overall) / (totals + 1)[:, None]
    deviations = values[:, None] - means
    scatters = np.einsum("nk,nki,nkj->kij", weights, deviations, deviations)
    dimensions = values.shape[1]
    pooled = scatters.sum(axis=0) / len(values)
    strength = dimensions + 2
    covariances = (scatters + strength * pooled) / (
        totals[:, None, None] + strength
    )
    # No direction is so narrow that a rounded value tells the class.
    covariances += _MIN_VARIANCE * np.eye(dimensions)
    _, log_determinants = np.linalg.slogdet(covariances)
    distances = np.einsum(
        "nki,kij,nkj->nk",
        deviations,
        np.linalg.inv(covariances),
        deviations,
    )
    result[known] = -0.5 * (distances + log_determinants)
    return result
