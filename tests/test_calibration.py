import numpy as np
import pytest

from keras_noisyfer.metrics import (
    expected_calibration_error,
    reliability,
)
from keras_noisyfer.plots import plot_reliability

# Two of confidence 0.8, of which one is right; one of 0.6 that is right; and
# one without a label.
PROBABILITIES = np.array([[0.8, 0.2], [0.2, 0.8], [0.6, 0.4], [1.0, 0.0]])
LABELS = [0, 0, 0, -1]


def test_reliability_by_hand():
    confidence, accuracy, count = reliability(LABELS, PROBABILITIES, bins=5)
    np.testing.assert_array_equal(count, [0, 0, 1, 2, 0])
    np.testing.assert_allclose(confidence, [np.nan, np.nan, 0.6, 0.8, np.nan])
    np.testing.assert_allclose(accuracy, [np.nan, np.nan, 1.0, 0.5, np.nan])
    error = expected_calibration_error(LABELS, PROBABILITIES, bins=5)
    assert error == pytest.approx((1 * 0.4 + 2 * 0.3) / 3)


def test_probabilities_that_tell_the_truth_have_no_error():
    generator = np.random.default_rng(0)
    first = generator.uniform(size=20000)
    labels = (generator.uniform(size=20000) > first).astype(int)
    probabilities = np.stack([first, 1 - first], axis=1)
    assert expected_calibration_error(labels, probabilities) < 0.01
    # Too sure by a half of what is missing to 1.
    sure = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    assert expected_calibration_error(labels, sure) > 0.08


def test_plot_names_the_error():
    figure = plot_reliability(LABELS, PROBABILITIES)
    error = expected_calibration_error(LABELS, PROBABILITIES)
    assert f"{error:.3f}" in figure.axes[0].get_title()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 0], "`labels` must have one entry for each of 4 rows"),
        ([-1] * 4, "`labels` must have a label"),
        ([0, 1, 2, 0], r"class ids in \[0, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        reliability(labels, PROBABILITIES)


@pytest.mark.parametrize("factor", [100.0, -1.0, np.nan])
def test_what_are_no_probabilities_is_refused(factor):
    wrong = np.array(PROBABILITIES)
    wrong[1] *= factor
    with pytest.raises(ValueError, match="`probabilities` must be at least 0"):
        expected_calibration_error(LABELS, wrong)
    for bins in (0, 2.5, "3"):
        with pytest.raises(ValueError, match="`bins` must be at least 1"):
            reliability(LABELS, PROBABILITIES, bins)
