"""What holds for simulated annotators, whatever the truth and the rates."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from label_strategies import generators

from keras_noisyfer import noise

RATES = st.sampled_from([0.0, 0.2, 0.7, 1.0])
MODES = st.sampled_from(["exclusive", "inclusive", "pairs"])
SEEDS = st.integers(0, 2**31 - 1)


@st.composite
def truths(draw):
    """Class ids of which some are missing, and their number of classes."""
    classes = draw(st.integers(2, 9))
    rng = draw(generators())
    truth = rng.integers(0, classes, draw(st.integers(1, 40)))
    return np.where(rng.random(len(truth)) < draw(RATES), -1, truth), classes


@st.composite
def crowds(draw):
    """Labels of several annotators, with what they are about."""
    truth, classes = draw(truths())
    rng = draw(generators())
    labels = rng.integers(-1, classes, (len(truth), draw(st.integers(1, 4))))
    return labels.astype("int32"), truth, classes


@given(truths(), RATES, MODES, RATES, SEEDS)
def test_flipped_labels(given_truth, rate, mode, missing, seed):
    truth, classes = given_truth
    pairs = ((0, classes - 1),) if mode == "pairs" else None
    flipped = noise.flip_labels(truth, classes, rate, mode, pairs, seed)
    assert flipped.shape == truth.shape and flipped.dtype == np.int32
    assert ((flipped >= -1) & (flipped < classes)).all()
    np.testing.assert_array_equal(flipped == -1, truth == -1)
    again = noise.flip_labels(truth, classes, rate, mode, pairs, seed)
    np.testing.assert_array_equal(flipped, again)
    if rate == 0:
        np.testing.assert_array_equal(flipped, truth)
    elif rate == 1 and mode != "inclusive":
        assert (flipped != truth)[truth >= 0].all()
    if mode == "pairs" and rate == 1:
        assert (flipped[truth == 0] == classes - 1).all()

    dropped = noise.drop_labels(flipped, missing, seed)
    kept = dropped != -1
    np.testing.assert_array_equal(dropped[kept], flipped[kept])
    assert missing < 1 or not kept.any()
    assert missing > 0 or (kept == (flipped != -1)).all()


@given(truths(), st.lists(RATES, min_size=1, max_size=4), SEEDS)
def test_annotators_do_not_disturb_each_other(given_truth, rates, seed):
    truth, classes = given_truth
    group = [noise.CategoricalAnnotator(each, missing=0.2) for each in rates]
    labels = noise.annotate(truth, group, classes, seed)
    assert labels.shape == (len(truth), len(group))
    fewer = noise.annotate(truth, group[:1], classes, seed)
    np.testing.assert_array_equal(labels[:, :1], fewer)
    entries = noise.realised_noise(labels, truth)
    assert [each["n"] for each in entries] == [len(truth)] * len(group)
    for entry, stream in zip(entries, labels.T, strict=True):
        known = (stream >= 0) & (truth >= 0)
        expected = (stream != truth)[known].mean() if known.any() else np.nan
        np.testing.assert_allclose(entry["wrong"], expected)
        np.testing.assert_allclose(entry["missing"], (stream == -1).mean())


@given(crowds(), generators(), SEEDS)
def test_majority_votes(crowd, rng, seed):
    labels, _, classes = crowd
    winners = noise.majority_vote(labels, classes, seed)
    for winner, row in zip(winners, labels, strict=True):
        votes = np.bincount(row[row >= 0], minlength=classes)
        assert winner == -1 if not votes.any() else votes[winner] == votes.max()
    # Ties are broken by the place of the image, not of the annotator.
    order = rng.permutation(labels.shape[1])
    again = noise.majority_vote(labels[:, order], classes, seed)
    np.testing.assert_array_equal(winners, again)


@given(crowds(), generators())
def test_confusion_matrices(crowd, rng):
    labels, truth, classes = crowd
    matrices = noise.realised_confusion(labels, truth, classes)
    assert matrices.shape == (labels.shape[1], classes, classes)
    for matrix, stream in zip(matrices, labels.T, strict=True):
        known = (stream >= 0) & (truth >= 0)
        seen = np.isin(np.arange(classes), truth[known])
        assert np.isnan(matrix[~seen]).all()
        np.testing.assert_allclose(matrix[seen].sum(axis=1), 1)
    order = rng.permutation(len(truth))
    np.testing.assert_array_equal(
        noise.realised_confusion(labels[order], truth[order], classes),
        matrices,
    )


@settings(max_examples=80)
@given(
    generators(),
    st.integers(1, 30),
    st.integers(1, 3),
    st.floats(-2, 2),
    st.floats(0, 3),
    SEEDS,
)
def test_perturbed_values(rng, count, dimensions, bias, deviation, seed):
    values = rng.uniform(-1, 1, (count, dimensions))
    values[rng.random(values.shape) < 0.3] = np.nan
    annotators = [
        noise.ContinuousAnnotator(bias=bias, standard_deviation=deviation),
        noise.ContinuousAnnotator(bias=0.0, standard_deviation=0.0),
        noise.ContinuousAnnotator(bias=bias, missing=1.0),
    ]
    labels = noise.annotate(values, annotators, seed=seed)
    assert labels.shape == (count, 3, dimensions)
    np.testing.assert_array_equal(
        np.isnan(labels[:, :2]), np.isnan(values)[:, None].repeat(2, 1)
    )
    assert np.nanmax(np.abs(labels), initial=0) <= 1
    np.testing.assert_allclose(labels[:, 1], values, atol=1e-6)
    assert np.isnan(labels[:, 2]).all()
    # Of the two who labelled what there is.
    np.testing.assert_allclose(
        noise.mean_vote(labels), labels[:, :2].mean(axis=1), atol=1e-6
    )
    exact = noise.realised_noise(labels, values.astype("float32"))[1]
    for rmse, column in zip(exact["rmse"], values.T, strict=True):
        expected = np.nan if np.isnan(column).all() else 0.0
        np.testing.assert_allclose(rmse, expected, atol=1e-6)
