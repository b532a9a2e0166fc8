import sys

import numpy as np
import pytest

from keras_noisyfer import noise

pytest.importorskip("crowdkit")
pytestmark = pytest.mark.filterwarnings("ignore:::crowdkit")


@pytest.fixture(scope="module")
def simulated():
    """Three annotators as the paper's: wrong 18, 27 and 36 % of the time."""
    truth = np.random.default_rng(0).integers(0, 10, 5000)
    labels = [
        noise.flip_labels(truth, 10, rate, mode="inclusive", seed=seed)
        for seed, rate in enumerate((0.2, 0.3, 0.4))
    ]
    return truth, np.stack(labels, axis=1)


def expectation_maximisation(labels, num_classes, iterations):
    """Dawid and Skene's, written out for few labels."""
    one_hot = (labels[..., None] == np.arange(num_classes)).astype("float64")
    share = one_hot.sum(axis=1)
    share /= share.sum(axis=1, keepdims=True)
    for step in range(iterations + 1):
        # confusion[a, c, k]: annotator a says k of an image of class c.
        confusion = np.einsum("nc,nak->ack", share, one_hot)
        confusion = np.maximum(confusion, 1e-10)
        confusion /= confusion.sum(axis=2, keepdims=True)
        if step == iterations:
            return share.argmax(axis=1), share
        logs = np.einsum("nak,ack->nc", one_hot, np.log(confusion))
        logs += np.log(share.mean(axis=0))
        share = np.exp(logs - logs.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)


# Annotator 2 turns 0 and 1 round, nearly always.
SMALL = np.array(
    [
        [0, 0, 1],
        [0, 0, 1],
        [0, 1, 1],
        [0, 0, 0],
        [1, 1, 0],
        [1, 1, 0],
        [1, 0, 0],
        [2, 2, 2],
        [2, -1, 2],
        [-1, 0, 1],
        [-1, -1, 1],
    ]
)


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_equals_the_algorithm_written_out(iterations):
    expected, share = expectation_maximisation(SMALL, 3, iterations)
    # No class is decided by a rounding error.
    top = np.sort(share, axis=1)
    assert (top[:, -1] - top[:, -2]).min() > 1e-3
    consensus = noise.dawid_skene(SMALL, 3, iterations)
    np.testing.assert_array_equal(consensus, expected)


def test_learns_that_an_annotator_is_contrary():
    consensus = noise.dawid_skene(SMALL, 3)
    # A majority says 1 of the third and 0 of the seventh image, and the
    # last one's only label is the contrary annotator's 1.
    assert noise.majority_vote(SMALL, 3)[[2, 6, 10]].tolist() == [1, 0, 1]
    assert consensus[[2, 6, 10]].tolist() == [0, 1, 0]


def test_no_label_no_consensus():
    labels = np.insert(SMALL, 4, -1, axis=0)
    consensus = noise.dawid_skene(labels, 3)
    assert consensus.dtype == "int32"
    assert consensus[4] == -1 and (np.delete(consensus, 4) >= 0).all()
    np.testing.assert_array_equal(
        np.delete(consensus, 4), noise.dawid_skene(SMALL, 3)
    )
    nothing = noise.dawid_skene(np.full((3, 2), -1), 3)
    np.testing.assert_array_equal(nothing, [-1, -1, -1])


def test_better_than_the_majority_and_not_random(simulated):
    truth, labels = simulated
    consensus = noise.dawid_skene(labels, 10)
    wrong = np.mean(consensus != truth)
    majority = np.mean(noise.majority_vote(labels, 10) != truth)
    assert wrong < majority - 0.01
    np.testing.assert_array_equal(consensus, noise.dawid_skene(labels, 10))


def test_estimates_the_noise_without_the_truth(simulated):
    truth, labels = simulated
    consensus = noise.dawid_skene(labels, 10)
    estimate, real = (
        [each["wrong"] for each in noise.realised_noise(labels, reference)]
        for reference in (consensus, truth)
    )
    np.testing.assert_allclose(estimate, real, atol=0.06)
    assert estimate == sorted(estimate)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 3]], 3), r"`labels` must be -1 or class ids in \[0, 3\)"),
        (([0, 1], 3), "`labels` must be an array of integer, rank 2"),
        (([[0, 1]], 1), "`num_classes` must be an int >= 2"),
        (([[0, 1]], 3, 0), "`iterations` must be at least 1, an integer"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        noise.dawid_skene(*arguments)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "crowdkit.aggregation", None)
    with pytest.raises(ImportError) as caught:
        noise.dawid_skene([[0, 1]], 2)
    assert str(caught.value) == (
        "dawid_skene needs crowd-kit: pip install keras_noisyfer[crowd]"
    )
