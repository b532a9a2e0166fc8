import numpy as np
import pytest

from keras_noisyfer import CategoricalTask, LabelledImages, noise
from keras_noisyfer.datasets.image_sources import ImageArray

pytestmark = pytest.mark.filterwarnings("error")

N = 50_000
NAN = np.nan
# Margins of class 0: 1, 0.5, 0 and -1.
PROBABILITIES = np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5], [0.0, 1.0]])


def simulated(n=N, num_classes=5, seed=3):
    """Classes, and the probabilities of a model right about most of them."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(num_classes, size=n)
    logits = generator.standard_normal((n, num_classes)) * 1.5
    logits[np.arange(n), truth] += 3
    weights = np.exp(logits)
    return truth, weights / weights.sum(axis=1, keepdims=True)


def margins(truth, probabilities):
    """Sorts, where the package masks."""
    result = []
    for label, row in zip(truth, probabilities, strict=True):
        result.append(row[label] - max(np.delete(row, label)))
    return np.array(result)


class TestInstanceFlipProbabilities:
    # 1 - margin is 0, 0.5 and 1: their scale is solved for by hand, with
    # none, one and both at the limit of 1.
    @pytest.mark.parametrize(
        "rate, expected",
        [
            (0, [0, 0, 0]),
            (0.25, [0, 0.25, 0.5]),
            (0.5, [0, 0.5, 1]),
            (0.6, [0, 0.8, 1]),
            (2 / 3, [0, 1, 1]),
        ],
    )
    def test_hand_computed(self, rate, expected):
        chances = noise.instance_flip_probabilities(
            [0, 0, 0], PROBABILITIES[:3], rate
        )
        assert chances.dtype == "float64"
        np.testing.assert_allclose(chances, expected, atol=1e-15)

    def test_beyond_the_boundary_flips_more_often_than_on_it(self):
        chances = noise.instance_flip_probabilities(
            [0, 0, 0, 0], PROBABILITIES, 0.35
        )
        np.testing.assert_allclose(chances, [0, 0.2, 0.4, 0.8])

    @pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9, 1.0])
    def test_mean_is_the_rate_and_falls_with_the_margin(self, rate):
        truth, probabilities = simulated(2000)
        chances = noise.instance_flip_probabilities(truth, probabilities, rate)
        assert chances.mean() == pytest.approx(rate, abs=1e-12)
        assert chances.min() > 0 and chances.max() <= 1
        easiest_last = np.argsort(margins(truth, probabilities))
        assert (np.diff(chances[easiest_last]) <= 1e-12).all()

    def test_missing_labels_take_no_part(self):
        truth, probabilities = simulated(1000)
        truth[::4] = -1
        known = truth != -1
        chances = noise.instance_flip_probabilities(truth, probabilities, 0.4)
        alone = noise.instance_flip_probabilities(
            truth[known], probabilities[known], 0.4
        )
        np.testing.assert_array_equal(chances[known], alone)
        assert (chances[~known] == 0).all()
        none = noise.instance_flip_probabilities([-1, -1], [[0.5, 0.5]] * 2, 1)
        np.testing.assert_array_equal(none, [0, 0])

    def test_a_rate_out_of_reach_names_the_highest(self):
        with pytest.raises(ValueError, match="at most 0.75.*Received: 0.8$"):
            noise.instance_flip_probabilities([0] * 4, PROBABILITIES, 0.8)
        sure = np.eye(3)
        with pytest.raises(ValueError, match="`rate` must be at most 0,"):
            noise.instance_flip_probabilities([0, 1, 2], sure, 0.1)

    def test_half_precision_and_narrow_class_ids(self):
        truth, probabilities = simulated(500, num_classes=200)
        half = noise.instance_flip_probabilities(
            truth.astype("uint8"), probabilities.astype("float16"), 0.3
        )
        full = noise.instance_flip_probabilities(truth, probabilities, 0.3)
        np.testing.assert_allclose(half, full, atol=2e-3)


class TestFlipLabelsByInstance:
    def test_realises_the_rate_and_prefers_hard_images(self):
        truth, probabilities = simulated()
        labels = noise.flip_labels_by_instance(truth, probabilities, 0.3)
        assert labels.dtype == "int32" and labels.shape == (N,)
        (entry,) = noise.realised_noise(labels, truth)
        # Three standard errors at n = 50,000 are below 0.007.
        assert entry["wrong"] == pytest.approx(0.3, abs=0.007)
        chances = noise.instance_flip_probabilities(truth, probabilities, 0.3)
        hardest_first = np.argsort(-chances).reshape(10, -1)
        wrong = (labels != truth)[hardest_first].mean(axis=1)
        expected = chances[hardest_first].mean(axis=1)
        np.testing.assert_allclose(wrong, expected, atol=0.02)
        assert wrong[0] > 5 * wrong[-1]

    def test_flips_to_the_class_across_the_boundary(self):
        truth, probabilities = simulated(2000)
        labels = noise.flip_labels_by_instance(truth, probabilities, 1.0)
        for label, true_class, row in zip(
            labels, truth, probabilities, strict=True
        ):
            others = np.argsort(-row)
            assert label == others[others != true_class][0]

    def test_equally_likely_classes_are_drawn_among_evenly(self):
        probabilities = np.tile([0.3, 0.05, 0.3, 0.05, 0.3], (N, 1))
        labels = noise.flip_labels_by_instance([0] * N, probabilities, 1.0)
        share = np.bincount(labels, minlength=5) / N
        np.testing.assert_allclose(share, [0, 0, 0.5, 0, 0.5], atol=0.007)

    def test_missing_stays_missing_and_input_is_untouched(self):
        truth, probabilities = simulated(400)
        truth[::3] = -1
        before = truth.copy(), probabilities.copy()
        labels = noise.flip_labels_by_instance(truth, probabilities, 1.0)
        np.testing.assert_array_equal(labels == -1, truth == -1)
        assert (labels != truth)[truth != -1].all()
        np.testing.assert_array_equal(truth, before[0])
        np.testing.assert_array_equal(probabilities, before[1])

    def test_seed_decides(self):
        truth, probabilities = simulated(1000)
        first, again, other = (
            noise.flip_labels_by_instance(truth, probabilities, 0.4, seed)
            for seed in (5, 5, 6)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).mean() > 0.1


class TestInstanceDependentAnnotator:
    def test_works_beside_others_and_leaves_their_labels(self):
        truth, probabilities = simulated(5000)
        annotators = [
            noise.CategoricalAnnotator(0.3, missing=0.1),
            noise.InstanceDependentAnnotator(probabilities, 0.3, missing=0.2),
        ]
        one = noise.annotate(truth, annotators[:1], 5, seed=2)
        two = noise.annotate(truth, annotators, 5, seed=2)
        np.testing.assert_array_equal(two[:, :1], one)
        entry = noise.realised_noise(two, truth)[1]
        assert entry["wrong"] == pytest.approx(0.3, abs=0.025)
        assert entry["missing"] == pytest.approx(0.2, abs=0.02)

    def test_annotators_agree_on_wrong_classes(self):
        truth, probabilities = simulated(5000)
        annotators = [noise.InstanceDependentAnnotator(probabilities, 0.4)] * 2
        first, second = noise.annotate(truth, annotators, 5).T
        both_wrong = (first != truth) & (second != truth)
        # Of independent ones 16 % of the images would be both wrong.
        assert both_wrong.mean() > 0.2
        np.testing.assert_array_equal(first[both_wrong], second[both_wrong])
        assert (first != second).mean() > 0.2

    def test_labels_any_data_set(self):
        truth, probabilities = simulated(60, num_classes=3)
        task = CategoricalTask("expression", num_classes=3)
        data = LabelledImages(
            ImageArray(np.zeros((60, 4, 4, 1), "uint8")),
            {"expression": truth},
            [task],
            {"expression": truth},
        )
        annotator = noise.InstanceDependentAnnotator(probabilities, 1.0)
        noisy = data.with_noise({"expression": [annotator] * 2})
        assert noisy.tasks[0].annotators == 2
        assert (noisy.labels["expression"] != truth[:, None]).all()
        with pytest.raises(ValueError, match="one row a label: 10.*: 60 rows"):
            data.take(10).with_noise({"expression": [annotator]})

    def test_errors_stay_short(self):
        _, probabilities = simulated(1000)
        annotator = noise.InstanceDependentAnnotator(probabilities, 0.3)
        assert len(repr(annotator)) < 80
        assert annotator == annotator and hash(annotator)
        both = [annotator, noise.ContinuousAnnotator()]
        with pytest.raises(ValueError, match="`annotators` must") as error:
            noise.annotate([0] * 1000, both, 5)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "probabilities, problem",
    [
        (np.array([0.5, 0.5]), "rank 2"),
        (np.array([[0, 1]]), "floating"),
        (np.zeros((0, 2)), "not empty"),
        (np.ones((3, 1)), r"two classes or more.*\(3, 1\)"),
        (np.array([[2.5, -1.5]]), "softmax.*2.5"),
        (np.array([[NAN, 0.5]]), "softmax.*nan"),
        (np.array([[0.5, 0.5], [0.5, 0.4]]), "add up to 1.*0.9 in row 1"),
    ],
)
def test_bad_probabilities(probabilities, problem):
    with pytest.raises(ValueError, match=f"^`probabilities` must.*{problem}"):
        noise.InstanceDependentAnnotator(probabilities, 0.3)


def test_other_bad_input():
    with pytest.raises(ValueError, match="`rate` must"):
        noise.InstanceDependentAnnotator(PROBABILITIES, 30)
    with pytest.raises(ValueError, match="`missing` must"):
        noise.InstanceDependentAnnotator(PROBABILITIES, 0.3, -1)
    annotator = noise.InstanceDependentAnnotator(PROBABILITIES, 0.3)
    with pytest.raises(ValueError, match=r"3 columns, one a class.*\(4, 2\)"):
        noise.annotate([0] * 4, [annotator], 3)
    with pytest.raises(ValueError, match=r"one row a label: 3\. .*: 4 rows"):
        noise.annotate([0] * 3, [annotator], 2)
    with pytest.raises(ValueError, match=r"class ids in \[0, 2\)"):
        noise.flip_labels_by_instance([0, 1, 2, 0], PROBABILITIES, 0.3)
