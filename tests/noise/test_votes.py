import time

import numpy as np
import pytest

from keras_noisyfer import noise

pytestmark = pytest.mark.filterwarnings("error")

N = 50_000
NAN = np.nan


def class_ids(num_classes=10, n=N):
    return np.arange(n) % num_classes


def fraction_changed(labels, truth):
    return np.mean(labels != truth)


class TestMajorityVote:
    def test_hand_computed(self):
        labels = [
            [2, 2, 0],
            [0, 1, 1],
            [-1, 2, -1],
            [-1, -1, -1],
            [1, -1, 1],
        ]
        consensus = noise.majority_vote(labels, 3)
        assert consensus.dtype == "int32"
        np.testing.assert_array_equal(consensus, [2, 1, 2, -1, 1])

    def test_majority_beats_any_tie_break(self):
        labels = np.tile([0, 9, 9, 5, 0, 9], (N, 1))
        assert (noise.majority_vote(labels, 10) == 9).all()

    def test_ties_are_even_between_the_tied_classes_only(self):
        labels = np.tile([3, 1, 3, 1, 0], (N, 1))
        consensus = noise.majority_vote(labels, 5)
        share = np.bincount(consensus, minlength=5) / N
        np.testing.assert_allclose(share, [0, 0.5, 0, 0.5, 0], atol=0.007)
        three_way = noise.majority_vote(np.tile([0, 1, 2], (N, 1)), 3)
        share = np.bincount(three_way, minlength=3) / N
        np.testing.assert_allclose(share, [1 / 3] * 3, atol=0.007)

    def test_seed_decides_ties(self):
        labels = np.tile([0, 1], (100, 1))
        first = noise.majority_vote(labels, 2, seed=5)
        np.testing.assert_array_equal(
            first, noise.majority_vote(labels, 2, seed=5)
        )
        assert (first != noise.majority_vote(labels, 2, seed=6)).any()

    def test_is_fast(self):
        labels = np.stack([class_ids()] * 3, axis=1)
        start = time.perf_counter()
        noise.majority_vote(labels, 10)
        assert time.perf_counter() - start < 0.5

    def test_beats_each_of_the_papers_annotators(self):
        truth = class_ids()
        labels = noise.annotate(truth, noise.PAPER_ANNOTATORS, num_classes=10)
        consensus = noise.majority_vote(labels, 10)
        assert fraction_changed(consensus, truth) < 0.16


class TestMeanVote:
    def test_hand_computed(self):
        values = [
            [[0.2, -1.0], [0.4, 0.0], [0.6, 1.0]],
            [[0.2, -1.0], [NAN, NAN], [0.6, 0.0]],
            [[NAN, NAN], [NAN, NAN], [NAN, NAN]],
            [[NAN, 0.5], [NAN, NAN], [NAN, -0.1]],
        ]
        mean = noise.mean_vote(np.array(values, "float32"))
        assert mean.dtype == "float32"
        expected = [[0.4, 0.0], [0.4, -0.5], [NAN, NAN], [NAN, 0.2]]
        np.testing.assert_allclose(mean, expected, atol=1e-6)


def test_drawn_votes_are_those_that_were_cast():
    votes = np.array([[0, 3, 1], [2, 0, 0], [0, 0, 0]])
    drawn = noise.draw_votes(votes, annotators=4, seed=0)
    assert drawn.dtype == "int32" and drawn.shape == (3, 4)
    # All of them are drawn; where there are no more, they are missing.
    assert sorted(drawn[0]) == [1, 1, 1, 2]
    assert drawn[1].tolist() == [0, 0, -1, -1]
    assert drawn[2].tolist() == [-1] * 4
    fewer = noise.draw_votes(votes, annotators=2, seed=0)
    np.testing.assert_array_equal(fewer, drawn[:, :2])
    # Also where there are more annotators than an image has votes.
    many = np.random.default_rng(1).integers(0, 2, (50, 3)) + [1, 0, 0]
    first, more = (noise.draw_votes(many, count, seed=0) for count in (2, 9))
    np.testing.assert_array_equal(first, more[:, :2])
    share = (
        noise.draw_votes(np.tile([1, 3], (4000, 1)), 1, seed=1) == 1
    ).mean()
    assert share == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize(
    ("votes", "annotators", "message"),
    [
        ([[1, -1]], 1, "`votes` must be at least 0"),
        ([[0.5, 1.0]], 1, "`votes` must be an array of integer, rank 2"),
        ([[1, 1]], 0, "`annotators`"),
    ],
)
def test_votes_that_cannot_be_drawn_are_refused(votes, annotators, message):
    with pytest.raises(ValueError, match=message):
        noise.draw_votes(votes, annotators)
