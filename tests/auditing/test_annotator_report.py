import importlib
import json
import sys

import numpy as np
import pytest

from keras_noisyfer import CategoricalTask, ContinuousTask, noise
from keras_noisyfer.auditing.annotator_report import (
    annotator_report,
    format_annotator_report,
)
from keras_noisyfer.results import write_json

krippendorff = pytest.importorskip("krippendorff")
pytest.importorskip("sklearn.metrics")
pytestmark = pytest.mark.filterwarnings("error")

NAN = np.nan
# Krippendorff (2011), section C: four observers, twelve units, values 1 to 5.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
).T


def categorical(labels, num_classes=3, clean=None, class_names=None):
    labels = np.asarray(labels)
    annotators = labels.shape[1] if labels.ndim == 2 else 1
    task = CategoricalTask("object", num_classes, annotators, class_names)
    clean = None if clean is None else {"object": clean}
    return annotator_report({"object": labels}, [task], clean)["object"]


def continuous(values, clean=None):
    values = np.asarray(values, "float32")
    annotators, width = values.shape[1:]
    names = ("valence", "arousal")[:width]
    task = ContinuousTask("affect", names, annotators)
    clean = None if clean is None else {"affect": clean}
    return annotator_report({"affect": values}, [task], clean)["affect"]


class TestStreams:
    def test_matrix_and_noise_by_hand(self):
        clean = np.array([0, 0, 0, 0, 1, 1, -1, 1])
        given = np.array([0, 0, 0, 2, 2, 1, 0, -1])
        all_missing = np.full(8, -1)
        report = categorical(np.stack([given, all_missing], 1), 3, clean)
        first, second = report["streams"]
        np.testing.assert_array_equal(
            first["transition_matrix"],
            [[0.75, 0, 0.25], [0, 0.5, 0.5], [NAN] * 3],
        )
        assert first["n"] == 8 and first["missing"] == 1 / 8
        assert first["wrong"] == pytest.approx(2 / 6)
        assert np.isnan(second["transition_matrix"]).all()
        assert second["missing"] == 1.0 and np.isnan(second["wrong"])

    def test_matrix_recovers_the_annotators(self):
        clean = np.arange(30_000) % 3
        annotators = [
            noise.CategoricalAnnotator(0.3),
            noise.CategoricalAnnotator(0.4, "pairs", ((0, 2),), missing=0.5),
        ]
        labels = noise.annotate(clean, annotators, 3)
        first, second = categorical(labels, 3, clean)["streams"]
        expected = np.full((3, 3), 0.15) + 0.55 * np.eye(3)
        np.testing.assert_allclose(
            first["transition_matrix"], expected, atol=0.02
        )
        expected = [[0.6, 0, 0.4], [0.2, 0.6, 0.2], [0.4, 0, 0.6]]
        np.testing.assert_allclose(
            second["transition_matrix"], expected, atol=0.03
        )

    def test_without_truth_only_what_is_there_is_counted(self):
        report = categorical([[0, -1], [1, -1], [-1, 2], [2, 2]])
        assert report["streams"] == [
            {"n": 4, "missing": 0.25},
            {"n": 4, "missing": 0.5},
        ]

    def test_continuous_is_as_realised_noise_says(self):
        generator = np.random.default_rng(0)
        clean = generator.uniform(-0.5, 0.5, (50, 2)).astype("float32")
        labels = noise.annotate(clean, [noise.ContinuousAnnotator()] * 2)
        report = continuous(labels, clean)
        assert report["dimensions"] == ["valence", "arousal"]
        assert report["streams"] == noise.realised_noise(labels, clean)


class TestKappa:
    def test_textbook(self):
        # Cohen's two readers: 20 times both yes, 15 both no, 5 and 10 mixed.
        # Agreement 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
        labels = [[1, 1]] * 20 + [[1, 0]] * 5 + [[0, 1]] * 10 + [[0, 0]] * 15
        (pair,) = categorical(labels, 2)["pairs"]
        assert pair == {
            "annotators": [0, 1],
            "n": 50,
            "kappa": pytest.approx(0.4),
        }

    def test_counts_only_images_that_both_labelled(self):
        labels = [[0, 0], [1, 1], [2, 1], [-1, 2], [0, -1], [-1, -1]]
        (pair,) = categorical(labels)["pairs"]
        # Agreement 2 / 3, by chance 1/3 * 1/3 + 1/3 * 2/3 = 1/3.
        assert pair["n"] == 3 and pair["kappa"] == pytest.approx(0.5)

    def test_one_pair_an_unordered_two(self):
        labels = np.tile([[0, 0, 1, -1], [1, 1, 0, -1]], (3, 1))
        pairs = categorical(labels)["pairs"]
        assert [each["annotators"] for each in pairs] == [
            [0, 1],
            [0, 2],
            [0, 3],
            [1, 2],
            [1, 3],
            [2, 3],
        ]
        kappas = [each["kappa"] for each in pairs]
        np.testing.assert_allclose(kappas, [1, -1, NAN, -1, NAN, NAN])


class TestAlpha:
    def test_published_nominal(self):
        labels = np.nan_to_num(PUBLISHED, nan=0).astype("int32") - 1
        alpha = categorical(labels, 5)["alpha"]
        assert alpha == pytest.approx(0.743, abs=5e-4)

    def test_published_interval(self):
        # Alpha does not depend on the unit: 1 to 5 becomes -1 to 1.
        values = (PUBLISHED[..., None] - 3) / 2
        (alpha,) = continuous(values)["alpha"]
        assert alpha == pytest.approx(0.849, abs=5e-4)

    def test_interval_is_what_the_package_computes(self):
        generator = np.random.default_rng(1)
        truth = generator.uniform(-0.6, 0.6, (40, 1, 2))
        values = truth + generator.normal(0, 0.1, (40, 3, 2))
        values[generator.random((40, 3)) < 0.3] = NAN
        values = values.astype("float32")
        expected = [
            krippendorff.alpha(
                values[..., d].T.astype("float64"),
                level_of_measurement="interval",
            )
            for d in range(2)
        ]
        assert continuous(values)["alpha"] == pytest.approx(expected, abs=1e-9)

    def test_bounds(self):
        assert categorical([[0, 0], [1, 1], [2, 2]])["alpha"] == 1
        values = np.linspace(-1, 1, 5)[:, None, None].repeat(3, 1)
        assert continuous(values)["alpha"] == [1]
        generator = np.random.default_rng(0)
        chance = generator.integers(0, 3, (20_000, 2))
        assert abs(categorical(chance)["alpha"]) < 0.02


class TestConcordance:
    def test_by_hand_with_a_missing_value(self):
        values = np.array([[0, 0.1], [0.2, 0.3], [NAN, 0.9], [0.6, 0.7]])
        (pair,) = continuous(values[..., None])["pairs"]
        # Both variances of (0, 0.2, 0.6) are 0.56 / 9; 2v / (2v + 0.01).
        variance = 0.56 / 9
        expected = 2 * variance / (2 * variance + 0.01)
        assert pair["n"] == 3
        assert pair["ccc"] == pytest.approx([expected], abs=1e-6)


class TestDegenerate:
    @pytest.mark.parametrize("labels", [[0, 1, 2], [[0], [1], [2]]])
    def test_one_annotator(self, labels):
        report = categorical(labels, 3, [0, 1, 1])
        assert report["pairs"] == [] and np.isnan(report["alpha"])
        assert report["streams"][0]["wrong"] == pytest.approx(1 / 3)
        text = format_annotator_report({"object": report})
        assert text.endswith("object agreement: one annotator has none")

    def test_one_continuous_annotator_without_axis(self):
        task = ContinuousTask("affect", ("valence", "arousal"))
        values = np.array([[0.1, 0.2], [0.3, NAN]], "float32")
        report = annotator_report(
            {"affect": values}, [task], {"affect": values}
        )
        assert report["affect"]["streams"][0]["missing"] == 0.5
        assert np.isnan(report["affect"]["alpha"]).all()

    @pytest.mark.parametrize(
        "labels",
        [
            pytest.param([[0, -1], [-1, 1], [2, -1]], id="no overlap"),
            pytest.param([[1, 1], [1, 1], [-1, 1]], id="one class"),
            pytest.param([[1, 1], [0, -1], [-1, 2]], id="one class in common"),
            pytest.param([[-1, -1], [-1, -1]], id="all missing"),
        ],
    )
    def test_undefined_agreement_of_classes(self, labels):
        report = categorical(labels)
        assert np.isnan(report["alpha"])
        assert np.isnan(report["pairs"][0]["kappa"])

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param([[0.1, NAN], [NAN, 0.2]], id="no overlap"),
            pytest.param([[0.1, 0.1], [0.1, 0.1]], id="one value"),
            pytest.param([[NAN, NAN], [NAN, NAN]], id="all missing"),
        ],
    )
    def test_undefined_agreement_of_values(self, values):
        report = continuous(np.array(values)[..., None], [[0.1], [NAN]])
        assert np.isnan(report["alpha"]).all()
        assert np.isnan(report["pairs"][0]["ccc"]).all()


def test_writes_json_and_formats(tmp_path):
    clean = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    labels = np.array([[0, 0, 0, 1, 1, 1, 1, -1], [0, 0, 1, 1, 1, 1, 1, 1]]).T
    values = np.array([[-0.5, -0.4], [0.5, 0.6]], "float32")[..., None]
    names = ("cat", "clean", "bird")
    tasks = [
        CategoricalTask("object", annotators=2, class_names=names),
        ContinuousTask("affect", ("valence",), annotators=2),
    ]
    report = annotator_report(
        {"object": labels, "affect": values}, tasks, {"object": clean}
    )
    assert list(report) == ["object", "affect"]
    assert report["object"]["classes"] == ["cat", "clean", "bird"]
    write_json(tmp_path / "report.json", report)
    read = json.loads((tmp_path / "report.json").read_text())
    matrix = read["object"]["streams"][0]["transition_matrix"]
    assert matrix == [[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [None] * 3]
    # Over 7 images: kappa 1 - (1 / 7) / (1 - (3 * 2 + 4 * 5) / 49) = 16 / 23.
    # Alpha: of 14 labels 5 and 9, 1 - 13 * 2 / (2 * 5 * 9) = 0.711.
    # Concordance: 2 * 0.25 / (0.25 + 0.25 + 0.01); alpha: variances of the
    # pairs 2 * 0.01 / 4 against 1.03 / 3 - 0.1 ** 2 / 3 = 0.34.
    assert format_annotator_report(report).splitlines() == [
        "object annotator 0: 14.3 % wrong, 12.5 % missing (n = 8)",
        "object annotator 1: 25.0 % wrong, 0.0 % missing (n = 8)",
        "",
        "object annotator 0, percent of each clean class (rows):",
        "       cat  clean  bird",
        "-----  ---  -----  ----",
        "cat     75     25     0",
        "clean    0    100     0",
        "bird   nan    nan   nan",
        "",
        "object annotator 1, percent of each clean class (rows):",
        "       cat  clean  bird",
        "-----  ---  -----  ----",
        "cat     50     50     0",
        "clean    0    100     0",
        "bird   nan    nan   nan",
        "",
        "object agreement: Krippendorff's alpha 0.711, Cohen's kappa 0-1=0.696",
        "",
        "affect annotator 0: 0.0 % missing (n = 2)",
        "affect annotator 1: 0.0 % missing (n = 2)",
        "",
        "affect valence agreement: Krippendorff's alpha 0.985, concordance "
        "0-1=0.980",
    ]


def test_many_pairs_are_wrapped_between_pairs():
    labels = np.random.default_rng(0).integers(0, 3, (50, 10))
    report = {"object": categorical(labels)}
    agreement = format_annotator_report(report).split("\n\n")[-1]
    assert max(map(len, agreement.splitlines())) <= 80
    assert agreement.count("=") == 45
    assert all("=" in each for each in agreement.split()[7:])


class TestErrors:
    def test_unknown_task_and_wrong_values(self):
        task = CategoricalTask("object", 3, annotators=2)
        labels = {"object": np.array([[0, 1], [2, 2]])}
        with pytest.raises(ValueError, match="`clean` must.*'objekt'"):
            annotator_report(labels, [task], {"objekt": np.array([0, 1])})
        with pytest.raises(ValueError, match="keys"):
            annotator_report({"objekt": labels["object"]}, [task])
        with pytest.raises(ValueError, match="class ids from 0 to 2"):
            annotator_report({"object": np.array([[0, 3]])}, [task])
        with pytest.raises(ValueError, match="`labels` must.*not empty"):
            annotator_report({"object": np.zeros((0, 2), "int32")}, [task])

    @pytest.mark.parametrize(
        "clean", [[0, 1, 2], [[0], [1]]], ids=["length", "annotator axis"]
    )
    def test_clean_of_another_shape(self, clean):
        with pytest.raises(ValueError, match=r"`clean\['object'\]`.*image, 2"):
            categorical([[0, 1], [2, 2]], 3, np.array(clean))

    @pytest.mark.parametrize("package", ["krippendorff", "sklearn.metrics"])
    def test_without_the_extra(self, monkeypatch, package):
        monkeypatch.setitem(sys.modules, package, None)
        module = importlib.reload(sys.modules[annotator_report.__module__])
        with pytest.raises(ImportError) as error:
            module.annotator_report({}, [])
        assert str(error.value) == (
            "annotator_report needs scikit-learn and krippendorff: "
            "pip install keras_noisyfer[audit]"
        )
