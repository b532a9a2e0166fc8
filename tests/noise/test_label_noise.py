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


class TestFlipLabels:
    # Three standard errors at n = 50,000 are below 0.007.
    @pytest.mark.parametrize("rate", [0.2, 0.3, 0.4])
    def test_exclusive_realises_the_rate(self, rate):
        truth = class_ids()
        labels = noise.flip_labels(truth, 10, rate)
        assert labels.dtype == "int32" and labels.shape == (N,)
        assert fraction_changed(labels, truth) == pytest.approx(rate, abs=0.007)

    @pytest.mark.parametrize(
        "rate, realised", [(0.2, 0.18), (0.3, 0.27), (0.4, 0.36), (1.0, 0.9)]
    )
    def test_inclusive_realises_nine_tenths_of_the_rate(self, rate, realised):
        truth = class_ids()
        labels = noise.flip_labels(truth, 10, rate, mode="inclusive")
        changed = fraction_changed(labels, truth)
        assert changed == pytest.approx(realised, abs=0.007)

    def test_exclusive_never_keeps_a_flipped_label_and_is_uniform(self):
        truth = np.full(N, 2)
        labels = noise.flip_labels(truth, 5, 1.0)
        share = np.bincount(labels, minlength=5) / N
        np.testing.assert_allclose(
            share, [0.25, 0.25, 0, 0.25, 0.25], atol=0.01
        )

    def test_pairs_swap_and_other_classes_flip_uniformly(self):
        truth = class_ids(6)
        pairs = [(0, 3), (5, 1)]
        labels = noise.flip_labels(truth, 6, 1.0, mode="pairs", pairs=pairs)
        for true_class, partner in ((0, 3), (3, 0), (5, 1), (1, 5)):
            assert set(labels[truth == true_class]) == {partner}
        for true_class in (2, 4):
            others = set(range(6)) - {true_class}
            assert set(labels[truth == true_class]) == others

    def test_pairs_hold_the_rate_in_every_class(self):
        truth = class_ids(4)
        labels = noise.flip_labels(truth, 4, 0.3, mode="pairs", pairs=[(0, 1)])
        for true_class in range(4):
            of_class = labels[truth == true_class]
            changed = fraction_changed(of_class, true_class)
            assert changed == pytest.approx(0.3, abs=0.014)

    @pytest.mark.parametrize("mode", ["exclusive", "inclusive"])
    def test_missing_stays_missing_and_input_is_untouched(self, mode):
        truth = np.array([-1, 0, -1, 1] * 100)
        before = truth.copy()
        labels = noise.flip_labels(truth, 3, 1.0, mode=mode)
        np.testing.assert_array_equal(labels == -1, truth == -1)
        np.testing.assert_array_equal(truth, before)

    def test_rate_zero_changes_nothing(self):
        truth = class_ids(n=1000)
        np.testing.assert_array_equal(noise.flip_labels(truth, 10, 0.0), truth)

    def test_narrow_and_unsigned_dtypes(self):
        truth = class_ids(200, n=1000)
        wide = noise.flip_labels(truth, 200, 0.5, seed=4)
        narrow = noise.flip_labels(truth.astype("uint8"), 200, 0.5, seed=4)
        np.testing.assert_array_equal(narrow, wide)

    def test_seed_decides(self):
        truth = class_ids(n=1000)
        first, again = (noise.flip_labels(truth, 10, 0.5) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        other = noise.flip_labels(truth, 10, 0.5, seed=1)
        assert fraction_changed(first, other) > 0.3
        generator = np.random.default_rng(0)
        one, two = (
            noise.flip_labels(truth, 10, 0.5, seed=generator) for _ in range(2)
        )
        assert fraction_changed(one, two) > 0.3

    def test_does_not_follow_data_drawn_with_the_same_seed(self):
        truth = (np.random.default_rng(0).random(N) < 0.2).astype("int32")
        flipped = noise.flip_labels(truth, 2, 0.2, seed=0) != truth
        assert flipped[truth == 1].mean() == pytest.approx(0.2, abs=0.015)


class TestPerturbValues:
    def test_bias_and_spread_per_dimension(self):
        truth = np.zeros((N, 2), "float32")
        values = noise.perturb_values(truth, (0.1, -0.2), (0.05, 0.1))
        assert values.dtype == "float32"
        np.testing.assert_allclose(values.mean(0), [0.1, -0.2], atol=0.002)
        np.testing.assert_allclose(values.std(0), [0.05, 0.1], atol=0.001)
        correlation = np.corrcoef(values.T)[0, 1]
        assert abs(correlation) < 0.015

    def test_scalar_bias_without_noise_is_exact_and_clipped(self):
        truth = np.array([[0.0, 0.95], [-1.0, NAN]])
        values = noise.perturb_values(truth, bias=0.1)
        expected = np.array([[0.1, 1.0], [-0.9, NAN]], "float32")
        np.testing.assert_array_equal(values, expected)

    def test_other_range(self):
        values = noise.perturb_values(
            np.array([[1.0], [9.0]]), bias=2.0, value_range=(1, 9)
        )
        np.testing.assert_array_equal(values, [[3.0], [9.0]])


class TestDropLabels:
    def test_class_ids(self):
        truth = class_ids()
        labels = noise.drop_labels(truth, 0.3)
        missing = labels == -1
        assert missing.mean() == pytest.approx(0.3, abs=0.007)
        np.testing.assert_array_equal(labels[~missing], truth[~missing])
        assert labels.dtype == "int32" and truth.min() == 0

    def test_dimensions_go_missing_together_annotators_do_not(self):
        values = np.zeros((N, 2, 3))
        labels = noise.drop_labels(values, 0.3)
        missing = np.isnan(labels)
        assert labels.dtype == "float32" and not np.isnan(values).any()
        np.testing.assert_array_equal(missing.any(-1), missing.all(-1))
        both = missing[:, 0, 0] & missing[:, 1, 0]
        assert both.mean() == pytest.approx(0.09, abs=0.005)

    def test_rate_one_drops_all(self):
        assert (noise.drop_labels(class_ids(n=50), 1.0) == -1).all()

    def test_a_crowd_gives_each_image_a_few_labels(self):
        labels = class_ids(n=6000)[:, None].repeat(10, axis=1)
        kept = noise.keep_labels(labels, 3, seed=1)
        present = kept >= 0
        assert (present.sum(axis=1) == 3).all()
        np.testing.assert_array_equal(kept[present], labels[present])
        # By chance 1800 an annotator, give or take 35.
        assert np.abs(present.sum(axis=0) - 1800).max() < 180
        values = np.zeros((5, 4, 2), "float32")
        kept = noise.keep_labels(values, 1)
        assert (np.isnan(kept).all(-1).sum(axis=1) == 3).all()
        with pytest.raises(ValueError, match="`count` must be .*Received: 11"):
            noise.keep_labels(labels, 11)
        with pytest.raises(ValueError, match="must have an annotator axis"):
            noise.keep_labels(labels[:, 0], 1)

    def test_is_independent_of_a_flip_with_the_same_seed(self):
        truth = class_ids()
        flipped = noise.flip_labels(truth, 10, 0.2, seed=0)
        labels = noise.drop_labels(flipped, 0.2, seed=0)
        missing = labels == -1
        wrong = fraction_changed(labels[~missing], truth[~missing])
        assert wrong == pytest.approx(0.2, abs=0.007)
