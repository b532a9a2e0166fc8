import json
import time

import numpy as np
import pytest

from keras_noisyfer import noise

pytestmark = pytest.mark.filterwarnings("error")

N = 50_000
NAN = np.nan


def class_ids(num_classes=10, n=N):
    return np.arange(n) % num_classes


def affect(n=N, seed=3):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, 2))


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

    def test_is_independent_of_a_flip_with_the_same_seed(self):
        truth = class_ids()
        flipped = noise.flip_labels(truth, 10, 0.2, seed=0)
        labels = noise.drop_labels(flipped, 0.2, seed=0)
        missing = labels == -1
        wrong = fraction_changed(labels[~missing], truth[~missing])
        assert wrong == pytest.approx(0.2, abs=0.007)


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


class TestRealisedNoise:
    def test_categorical_hand_computed(self):
        truth = [0, 1, 2, 1, -1]
        labels = [[0, -1], [2, -1], [2, -1], [-1, -1], [1, -1]]
        report = noise.realised_noise(labels, truth)
        assert len(report) == 2
        # Of the four labels given, three have a truth and one is wrong.
        assert report[0] == {
            "n": 5,
            "missing": pytest.approx(0.2),
            "wrong": pytest.approx(1 / 3),
        }
        assert report[1]["missing"] == 1.0
        assert np.isnan(report[1]["wrong"])

    def test_continuous_hand_computed(self):
        truth = np.array([[0.0, 0.5], [0.2, 0.5], [0.4, 0.5], [0.6, NAN]])
        labels = np.array([[0.1, 0.5], [0.3, 0.5], [NAN, NAN], [0.7, 0.9]])
        (entry,) = noise.realised_noise(labels, truth)
        assert (entry["n"], entry["missing"]) == (4, 0.25)
        assert entry["rmse"] == pytest.approx([0.1, 0.0], abs=1e-6)
        assert entry["bias"] == pytest.approx([0.1, 0.0], abs=1e-6)
        # Both variances of (0, 0.2, 0.6) are 0.56 / 9; 2v / (2v + 0.01).
        variance = 0.56 / 9
        expected = 2 * variance / (2 * variance + 0.01)
        assert entry["ccc"][0] == pytest.approx(expected, abs=1e-6)
        assert np.isnan(entry["ccc"][1])

    def test_ccc_of_reversed_and_of_constant_labels(self):
        truth = np.array([[-0.5, -0.5], [0.5, 0.5]])
        labels = np.array([[0.5, 0.3], [-0.5, 0.3]])
        (entry,) = noise.realised_noise(labels, truth)
        assert entry["ccc"] == pytest.approx([-1.0, 0.0])

    def test_ccc_of_a_repeated_value_is_undefined(self):
        values = np.full((N, 1), 0.1, "float32")
        (entry,) = noise.realised_noise(values, values)
        assert np.isnan(entry["ccc"][0])

    def test_continuous_annotator_is_measured_as_described(self):
        truth = affect()
        annotators = [
            noise.ContinuousAnnotator((0.1, -0.05), 0.05, missing=0.1),
            noise.ContinuousAnnotator(0.0, 0.1),
        ]
        labels = noise.annotate(truth, annotators)
        first, second = noise.realised_noise(labels, truth)
        assert first["bias"] == pytest.approx([0.1, -0.05], abs=0.001)
        rmse = np.hypot([0.1, 0.05], 0.05)
        assert first["rmse"] == pytest.approx(list(rmse), abs=0.002)
        assert first["missing"] == pytest.approx(0.1, abs=0.005)
        # Uniform on [-0.5, 0.5]: variance 1 / 12; 2v / (2v + 0.01).
        assert second["ccc"] == pytest.approx([1 / 1.06] * 2, abs=0.002)
        assert second["missing"] == 0.0

    def test_all_missing_is_quiet_and_report_is_plain(self):
        labels = np.full((3, 2, 2), NAN, "float32")
        report = noise.realised_noise(labels, np.zeros((3, 2), "float32"))
        for entry in report:
            assert entry["missing"] == 1.0
            for key in ("rmse", "bias", "ccc"):
                assert np.isnan(entry[key]).all() and len(entry[key]) == 2
        json.dumps(report)

    def test_one_annotator_without_axis(self):
        report = noise.realised_noise([0, 1, 1, 1], [0, 1, 0, 0])
        assert report == [{"n": 4, "missing": 0.0, "wrong": 0.5}]


class TestFormatRealisedNoise:
    def test_categorical(self):
        report = [
            {"n": 2000, "missing": 0.0512, "wrong": 0.1978},
            {"n": 2000, "missing": 0.0, "wrong": 0.3},
        ]
        assert noise.format_realised_noise("expression", report) == (
            "expression annotator 0: 19.8 % wrong, 5.1 % missing (n = 2,000)\n"
            "expression annotator 1: 30.0 % wrong, 0.0 % missing (n = 2,000)"
        )

    def test_continuous(self):
        report = [
            {
                "n": 12,
                "missing": 0.25,
                "rmse": [0.2, 0.1],
                "bias": [0.1, -0.1],
                "ccc": [0.9, NAN],
            }
        ]
        assert noise.format_realised_noise("affect", report) == (
            "affect annotator 0: rmse 0.200 / 0.100, bias 0.100 / -0.100, "
            "ccc 0.900 / nan, 25.0 % missing (n = 12)"
        )


IDS = np.array([0, 1, 2])
VALUES = np.zeros((3, 2))
CATEGORICAL = noise.CategoricalAnnotator()
CONTINUOUS = noise.ContinuousAnnotator()


@pytest.mark.parametrize(
    "argument, function, arguments",
    [
        ("rate", noise.flip_labels, (IDS, 3, 1.5)),
        ("rate", noise.flip_labels, (IDS, 3, NAN)),
        ("rate", noise.drop_labels, (IDS, -0.1)),
        ("mode", noise.flip_labels, (IDS, 3, 0.1, "inclusiv")),
        ("num_classes", noise.flip_labels, (IDS, 1, 0.1)),
        ("num_classes", noise.annotate, (IDS, [CATEGORICAL])),
        ("labels", noise.flip_labels, (IDS, 2, 0.1)),
        ("labels", noise.flip_labels, ([0, -2], 3, 0.1)),
        ("labels", noise.flip_labels, ([0.0, 1.0], 3, 0.1)),
        ("labels", noise.flip_labels, ([True, False], 3, 0.1)),
        ("labels", noise.flip_labels, (IDS[:, None], 3, 0.1)),
        ("labels", noise.flip_labels, (IDS[:0], 3, 0.1)),
        ("seed", noise.flip_labels, (IDS, 3, 0.1, "exclusive", None, -1)),
        ("seed", noise.drop_labels, (IDS, 0.1, None)),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "pairs")),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "pairs", [])),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "pairs", [(0, 3)])),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "pairs", [(0, 0)])),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "pairs", [(0, 1), (1, 2)])),
        ("pairs", noise.flip_labels, (IDS, 4, 0.1, "pairs", [(0, 1, 2), (3,)])),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "exclusive", [(0, 1)])),
        ("values", noise.perturb_values, (IDS[:, None],)),
        ("values", noise.perturb_values, (VALUES[:, 0],)),
        ("values", noise.perturb_values, (VALUES - 2,)),
        ("values", noise.mean_vote, (VALUES,)),
        ("bias", noise.perturb_values, (VALUES, (0.1, 0.1, 0.1))),
        ("bias", noise.perturb_values, (VALUES, NAN)),
        ("standard_deviation", noise.perturb_values, (VALUES, 0.0, -0.1)),
        ("labels", noise.majority_vote, (IDS, 3)),
        ("labels", noise.majority_vote, ([[0, 3]], 3)),
        ("rate", noise.CategoricalAnnotator, (20,)),
        ("mode", noise.CategoricalAnnotator, (0.2, "other")),
        ("pairs", noise.CategoricalAnnotator, (0.2, "pairs")),
        ("missing", noise.CategoricalAnnotator, (0.2, "exclusive", None, 5)),
        ("missing", noise.ContinuousAnnotator, (0.0, 0.0, -1)),
        ("annotators", noise.annotate, (IDS, [], 3)),
        ("annotators", noise.annotate, (IDS, [CATEGORICAL, CONTINUOUS], 3)),
        ("annotators", noise.annotate, (IDS, [0.2], 3)),
        ("labels", noise.annotate, (VALUES, [CATEGORICAL], 3)),
        ("values", noise.annotate, (IDS, [CONTINUOUS])),
        ("labels", noise.realised_noise, (IDS[:2], IDS)),
        ("labels", noise.realised_noise, (IDS, VALUES)),
        ("labels", noise.realised_noise, (VALUES, IDS)),
        ("labels", noise.realised_noise, (np.stack([IDS] * 2, 1),) * 2),
        ("labels", noise.realised_noise, (np.zeros((3, 2, 2)),) * 2),
        ("labels", noise.realised_noise, (np.zeros((3, 2, 3)), VALUES)),
        ("labels", noise.realised_noise, (IDS, np.stack([IDS] * 2, 1))),
    ],
)
def test_bad_input_names_the_argument(argument, function, arguments):
    with pytest.raises(ValueError) as error:
        function(*arguments)
    message = str(error.value)
    assert message.startswith(f"`{argument}` must") or argument == "pairs"
    assert f"`{argument}`" in message and "Received: " in message
    assert "\n" not in message
