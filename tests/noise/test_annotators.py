import numpy as np
import pytest

from keras_noisyfer import noise

pytestmark = pytest.mark.filterwarnings("error")

N = 50_000


def class_ids(num_classes=10, n=N):
    return np.arange(n) % num_classes


def affect(n=N, seed=3):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, 2))


def fraction_changed(labels, truth):
    return np.mean(labels != truth)


class TestAnnotators:
    def test_papers_annotators_are_inclusive(self):
        truth = class_ids()
        labels = noise.annotate(truth, noise.PAPER_ANNOTATORS, num_classes=10)
        assert labels.dtype == "int32" and labels.shape == (N, 3)
        wrong = fraction_changed(labels.T, truth)
        assert wrong == pytest.approx(0.27, abs=0.005)
        report = noise.realised_noise(labels, truth)
        np.testing.assert_allclose(
            [entry["wrong"] for entry in report], [0.18, 0.27, 0.36], atol=0.007
        )

    def test_annotators_err_independently(self):
        truth = class_ids()
        same = [noise.CategoricalAnnotator(0.5)] * 2
        wrong = noise.annotate(truth, same, num_classes=10) != truth[:, None]
        assert wrong.all(axis=1).mean() == pytest.approx(0.25, abs=0.007)

    def test_annotators_leave_labels_out_independently(self):
        truth = class_ids()
        same = [noise.CategoricalAnnotator(0.2, missing=0.5)] * 2
        labels = noise.annotate(truth, same, num_classes=10)
        both = (labels == -1).all(axis=1)
        assert both.mean() == pytest.approx(0.25, abs=0.007)
        values = noise.annotate(
            affect(), [noise.ContinuousAnnotator(missing=0.5)] * 2
        )
        both = np.isnan(values).all(axis=(1, 2))
        assert both.mean() == pytest.approx(0.25, abs=0.007)
        for entry in noise.realised_noise(labels, truth):
            assert entry["wrong"] == pytest.approx(0.2, abs=0.009)

    @pytest.mark.parametrize("seed", [7, np.random.SeedSequence(7)])
    def test_a_third_annotator_leaves_the_first_two(self, seed):
        def own_seed():
            if isinstance(seed, int):
                return seed
            return np.random.default_rng(np.random.SeedSequence(seed.entropy))

        annotators = [
            noise.CategoricalAnnotator(0.3, missing=0.1),
            noise.CategoricalAnnotator(0.4, "inclusive"),
            noise.CategoricalAnnotator(0.2, "pairs", pairs=((0, 1),)),
        ]
        truth = class_ids(n=500)
        two = noise.annotate(truth, annotators[:2], 10, seed=own_seed())
        three = noise.annotate(truth, annotators, 10, seed=own_seed())
        np.testing.assert_array_equal(three[:, :2], two)

    def test_a_third_continuous_annotator_leaves_the_first_two(self):
        annotator = noise.ContinuousAnnotator(missing=0.1)
        truth = affect(n=500)
        two = noise.annotate(truth, [annotator] * 2, seed=7)
        three = noise.annotate(truth, [annotator] * 3, seed=7)
        assert three.dtype == "float32" and three.shape == (500, 3, 2)
        np.testing.assert_array_equal(three[:, :2], two)
        assert np.nanmean(three[:, 0] == three[:, 1]) < 0.05

    def test_missing_does_not_change_the_other_labels(self):
        truth = class_ids(n=1000)
        full = noise.CategoricalAnnotator(0.3)(truth, 10)
        partial = noise.CategoricalAnnotator(0.3, missing=0.5)(truth, 10)
        there = partial != -1
        assert 400 < there.sum() < 600
        np.testing.assert_array_equal(partial[there], full[there])

    def test_seed_decides(self):
        truth = affect(n=100)
        annotators = [noise.ContinuousAnnotator()]
        first, again, other = (
            noise.annotate(truth, annotators, seed=seed) for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).mean() > 0.9

    def test_is_frozen_and_hashable(self):
        annotator = noise.CategoricalAnnotator(0.2, "pairs", ((0, 1),))
        assert hash(annotator) == hash(
            noise.CategoricalAnnotator(0.2, "pairs", ((0, 1),))
        )
        with pytest.raises(AttributeError):
            annotator.rate = 0.5
