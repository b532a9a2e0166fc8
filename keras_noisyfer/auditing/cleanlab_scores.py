"""Label quality by cleanlab, each task alone."""

import contextlib
import warnings

import numpy as np

from keras_noisyfer.auditing.findings import ClassFindings, ValueFindings
from keras_noisyfer.noise import MISSING, realised_confusion, realised_noise
from keras_noisyfer.noise.checks import nanmean


def score_classes(
    labels: np.ndarray, predictions: np.ndarray, seed: int = 0
) -> ClassFindings:
    """CROWDLAB; where no two labels of an image agree, their probabilities.

    Args:
        labels: Class ids, `(n, annotators)`, -1 where missing.
        predictions: Class probabilities, `(n, num_classes)`.
        seed: Of ties that cleanlab breaks at random.

    Returns:
        `ClassFindings`.

    Reference:

    - [Goh et al., 2022](https://arxiv.org/abs/2210.06812)
    """
    from cleanlab.multiannotator import get_label_quality_multiannotator
    from cleanlab.rank import get_label_quality_scores

    num_classes = predictions.shape[1]
    given = labels != MISSING
    # What nobody labelled is the model's alone; cleanlab refuses it.
    consensus = predictions.argmax(axis=1)
    confidence = predictions.max(axis=1)
    scores = np.full(labels.shape, np.nan)
    used = given.any(axis=1)
    votes = (labels[..., None] == np.arange(num_classes)).sum(axis=1)
    if votes.max(initial=0) > 1:
        columns = np.flatnonzero(given.any(axis=0))
        answers = np.where(given, labels, np.nan)[used][:, columns]
        with _seeded(seed):
            result = get_label_quality_multiannotator(
                answers, predictions[used], verbose=False
            )
        quality = result["label_quality"]
        consensus[used] = quality["consensus_label"].to_numpy("int64")
        confidence[used] = quality["consensus_quality_score"].to_numpy()
        detailed = result["detailed_label_quality"].to_numpy("float64")
        scores[np.ix_(used, columns)] = detailed
    elif used.any():
        # Nothing tells whom to trust: each label is scored alone.
        scores[given] = get_label_quality_scores(
            labels[given], predictions[np.nonzero(given)[0]]
        )
    realised = realised_noise(labels, consensus)
    return ClassFindings(
        consensus=consensus,
        confidence=confidence,
        scores=scores,
        noise_rates=np.array([each["wrong"] for each in realised]),
        confusion=realised_confusion(labels, consensus, num_classes),
    )


@contextlib.contextmanager
def _seeded(seed):
    """cleanlab breaks ties by NumPy's global generator, and says so."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "breaking ties of examples")
            yield
    finally:
        np.random.set_state(state)


def score_values(labels: np.ndarray, predictions: np.ndarray) -> ValueFindings:
    """Residuals of each dimension; a label's score is its lowest.

    Args:
        labels: Values, `(n, annotators, dimensions)`, NaN where missing.
        predictions: Values, `(n, dimensions)`.

    Returns:
        `ValueFindings`; the consensus is the annotators' mean, or the
        prediction where there is no label. Bias and spread are those over
        images of several labels.
    """
    from cleanlab.regression.rank import get_label_quality_scores

    known = ~np.isnan(labels)
    expected = np.broadcast_to(predictions[:, None], labels.shape)
    # All at once, since cleanlab refuses a single label.
    quality = get_label_quality_scores(
        np.where(known, labels, expected).ravel(),
        expected.ravel(),
        method="residual",
    ).reshape(labels.shape)
    quality[~known] = np.inf
    scores = quality.min(axis=-1)
    scores[np.isinf(scores)] = np.nan
    mean = nanmean(labels, axis=1)
    consensus = np.where(np.isnan(mean), predictions, mean)
    # A single label differs from nobody's.
    shared = (known.sum(axis=1) > 1)[:, None]
    residuals = np.where(shared, labels - mean[:, None], np.nan)
    bias = nanmean(residuals, axis=0)
    spread = np.sqrt(nanmean((residuals - bias) ** 2, axis=0))
    deviations = np.sqrt(nanmean(residuals**2, axis=1))
    return ValueFindings(consensus, deviations, scores, bias, spread)
