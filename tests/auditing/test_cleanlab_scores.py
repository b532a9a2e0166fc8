import numpy as np
import pytest

from keras_noisyfer.auditing.cleanlab_scores import (
    score_classes,
    score_values,
)


def test_cleanlab_of_values_by_hand():
    # The second annotator has a single label, the third none.
    labels = np.array([[[0.5], [0.1], [np.nan]], [[-0.5], [np.nan], [np.nan]]])
    found = score_values(labels, np.zeros((2, 1)))
    np.testing.assert_allclose(found.deviations, [[0.2], [np.nan]])
    np.testing.assert_allclose(
        found.scores, np.exp([[-0.5, -0.1, np.nan], [-0.5, np.nan, np.nan]])
    )
    # Of the image that two have labelled.
    np.testing.assert_allclose(found.bias, [[0.2], [-0.2], [np.nan]])
    np.testing.assert_allclose(found.spread, [[0], [0], [np.nan]], atol=1e-9)


def test_cleanlab_of_one_label_an_image():
    # Of several annotators; the last image has none.
    labels = np.array([[0, -1], [-1, 1], [1, -1], [-1, -1]])
    predictions = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    found = score_classes(labels, predictions)
    nan = np.nan
    np.testing.assert_allclose(
        found.scores, [[0.9, nan], [nan, 0.4], [0.7, nan], [nan, nan]]
    )
    np.testing.assert_array_equal(found.consensus, [0, 0, 1, 1])
    np.testing.assert_array_equal(found.noise_rates, [0, 1])
    values = score_values(
        np.array([[[0.5], [nan]], [[nan], [0.1]]]), np.zeros((2, 1))
    )
    assert np.isnan(values.bias).all() and np.isnan(values.spread).all()


@pytest.mark.filterwarnings("error")
def test_cleanlab_where_nobody_agrees():
    labels = np.array([[0, 1], [1, 0], [1, -1]])
    found = score_classes(labels, np.array([[0.9, 0.1], [0.5, 0.5]] + [[0, 1]]))
    np.testing.assert_allclose(
        found.scores, [[0.9, 0.1], [0.5, 0.5], [1, np.nan]]
    )
    np.testing.assert_array_equal(found.consensus, [0, 0, 1])


@pytest.mark.filterwarnings("error")
def test_ties_are_broken_by_the_seed():
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    predictions = np.array([[0.25, 0.75], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])

    def scores(seed):
        return score_classes(labels, predictions, seed).scores.tolist()

    np.random.seed(0)
    once, drawn = scores(0), np.random.random()
    np.random.seed(0)
    assert drawn == np.random.random()
    assert scores(0) == once != scores(1)
