"""True values of continuous tasks, from predictions and all labels."""

import numpy as np
from scipy.stats import chi2, median_abs_deviation
from sklearn.linear_model import Ridge

from keras_noisyfer.auditing.findings import ValueFindings

_ITERATIONS = 50
_MIN_SCALE = 1e-3


def fit_value_posterior(labels, predictions, classes=()):
    """The true values given predictions and all labels.

    What is expected of an image is linear in the prediction and the class
    probabilities, fitted to the labels. The true value is Gaussian about it,
    and each annotator's label Gaussian about the true value and his bias.
    Variances are told apart by how the annotators' deviations go together;
    a single annotator's are taken to be half his own, half the expectation's.
    Scales are those of the median absolute deviation, which gross errors do
    not widen.

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
    unbiased = labels - bias
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
        for a in range(annotators):
            scale = _scale(surprise[present[:, a], a])
            squares[:, a] += np.where(
                present[:, a], (surprise[:, a] / scale) ** 2, 0.0
            )
    given = known.sum(axis=-1)
    scores = np.where(given > 0, chi2.sf(squares, np.maximum(given, 1)), np.nan)
    silent = ~known.any(axis=0)
    bias, spread = np.where(silent, np.nan, [bias, spread])
    if annotators == 1:
        # He may be as far from the truth as he likes: nobody else tells.
        bias = np.full_like(bias, np.nan)
    return ValueFindings(
        consensus=means,
        deviations=deviations,
        scores=scores,
        bias=bias,
        spread=spread,
    )


def _bias(values, present):
    """How far each annotator's values are from those of all, over the images
    that he and another labelled."""
    shared = present & (present.sum(axis=1) > 1)[:, None]
    values = np.where(shared, values, 0.0)
    by_image = np.maximum(shared.sum(axis=1, keepdims=True), 1)
    by_annotator = np.maximum(shared.sum(axis=0), 1)
    bias = np.zeros(values.shape[1])
    # Least squares of image plus annotator: another's bias is not in his.
    for _ in range(_ITERATIONS):
        images = (values - shared * bias).sum(axis=1, keepdims=True) / by_image
        bias = (values - shared * images).sum(axis=0) / by_annotator
        bias -= bias.mean()
    return bias


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
    totals = np.array(
        [_scale(residuals[present[:, a], a]) ** 2 for a in range(annotators)]
    )
    products = [
        (residuals[both, a] * residuals[both, b]).mean()
        for a in range(annotators)
        for b in range(a)
        if (both := present[:, a] & present[:, b]).any()
    ]
    own = np.mean(products) if products else 0.5 * totals.min()
    # Neither side is without error.
    own = np.clip(own, 0.1 * totals.min(), 0.9 * totals.min())
    return totals - own, own


def _scale(values):
    if not len(values):
        return 1.0
    return max(float(median_abs_deviation(values, scale="normal")), _MIN_SCALE)
