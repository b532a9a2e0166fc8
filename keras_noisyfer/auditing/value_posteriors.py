"""True values of continuous tasks, from predictions and all labels."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2, norm
from sklearn.linear_model import Ridge

from keras_noisyfer.auditing.findings import ValueFindings

_ITERATIONS = 50
_MIN_SCALE = 1e-3
# Fewer labels do not tell a bias or a scale: a single one deviates from
# nothing.
_MIN_LABELS = 10


def fit_value_posterior(
    labels: np.ndarray,
    predictions: np.ndarray,
    classes: Sequence[np.ndarray] = (),
) -> ValueFindings:
    """The true values given predictions and all labels.

    What is expected of an image is linear in the prediction and the class
    probabilities, fitted to the labels. The true value is Gaussian about it,
    and each annotator's label Gaussian about the true value and their bias.
    Variances are told apart by how the annotators' deviations go together;
    a single annotator's are taken to be half their own, half the
    expectation's.
    Scales are those of the median absolute deviation, which gross errors do
    not widen. Of fewer than ten labels an annotator's bias is not known, and
    the scale is that of all.

    Args:
        labels: Values, `(n, annotators, dimensions)`, NaN where missing.
        predictions: Of a model, `(n, dimensions)`; best of one that has not
            seen the image's labels.
        classes: Sequence of class probabilities `(n, num_classes)` of the
            other tasks.

    Returns:
        `ValueFindings`. A label's score is the probability of a deviation as
        large as its own from what is expected without it.
    """
    labels = labels.astype("float64")
    count, annotators, dimensions = labels.shape
    known = ~np.isnan(labels)
    features = np.concatenate([predictions, *classes], axis=1)
    bias = np.stack(
        [_bias(labels[..., d], known[..., d]) for d in range(dimensions)],
        axis=-1,
    )
    unbiased = labels - np.nan_to_num(bias)
    means = np.zeros((count, dimensions))
    deviations = np.zeros((count, dimensions))
    squares = np.zeros((count, annotators))
    spread = np.full((annotators, dimensions), np.nan)
    for d in range(dimensions):
        values, present = unbiased[..., d], known[..., d]
        expected = _expect(values, present, features, predictions[:, d])
        residuals = values - expected[:, None]
        noise, own = _variances(residuals, present)
        spread[:, d] = np.sqrt(noise)
        precision = np.where(present, 1 / noise, 0.0)
        weighted = np.where(present, residuals, 0.0) * precision
        total = precision.sum(axis=1) + 1 / own
        means[:, d] = expected + weighted.sum(axis=1) / total
        deviations[:, d] = np.sqrt(1 / total)
        # What the others and the expectation say of a label.
        others = total[:, None] - precision
        surprise = residuals - (
            (weighted.sum(axis=1)[:, None] - weighted) / others
        )
        scaled = surprise / _scales(surprise, present)
        squares += np.where(present, scaled**2, 0.0)
    given = known.sum(axis=-1)
    scores = np.where(given > 0, chi2.sf(squares, np.maximum(given, 1)), np.nan)
    spread[~known.any(axis=0)] = np.nan
    return ValueFindings(
        consensus=means,
        deviations=deviations,
        scores=scores,
        bias=bias,
        spread=spread,
    )


def _bias(values, present):
    """How far each annotator's values are from those of all, over the images
    that they and another labelled; NaN where these are too few."""
    shared = present & (present.sum(axis=1) > 1)[:, None]
    shared[:, shared.sum(axis=0) < _MIN_LABELS] = False
    shared &= (shared.sum(axis=1) > 1)[:, None]
    values = np.where(shared, values, 0.0)
    by_image = np.maximum(shared.sum(axis=1, keepdims=True), 1)
    by_annotator = np.maximum(shared.sum(axis=0), 1)
    bias = np.zeros(values.shape[1])
    # Least squares of image plus annotator: another's bias is not in theirs.
    for _ in range(_ITERATIONS):
        images = (values - shared * bias).sum(axis=1, keepdims=True) / by_image
        bias = (values - shared * images).sum(axis=0) / by_annotator
        bias -= np.average(bias, weights=by_annotator)
    return np.where(shared.any(axis=0), bias, np.nan)


def _expect(values, present, features, predictions):
    rows, columns = np.nonzero(present)
    if len(rows) <= features.shape[1]:
        return np.asarray(predictions, "float64")
    model = Ridge(alpha=1.0).fit(features[rows], values[rows, columns])
    return model.predict(features)


def _variances(residuals, present):
    """Of the annotators about the truth, and of the truth about what is
    expected."""
    annotators = residuals.shape[1]
    totals = _scales(residuals, present) ** 2
    products = [
        residuals[both, a] * residuals[both, b]
        for a in range(annotators)
        for b in range(a)
        if (both := present[:, a] & present[:, b]).any()
    ]
    own = np.concatenate(products).mean() if products else 0.5 * totals.min()
    # Neither side is without error.
    own = np.clip(own, 0.1 * totals.min(), 0.9 * totals.min())
    return totals - own, own


def _scales(values, present):
    """Of each annotator's values."""
    overall = _scale(values[present])
    own = [values[there, a] for a, there in enumerate(present.T)]
    return np.array(
        [_scale(v) if len(v) >= _MIN_LABELS else overall for v in own]
    )


def _scale(values):
    if not len(values):
        return 1.0
    # About zero, where there are too few for a median of their own.
    center = np.median(values) if len(values) >= _MIN_LABELS else 0.0
    deviation = np.median(np.abs(values - center)) / norm.ppf(0.75)
    return max(float(deviation), _MIN_SCALE)
