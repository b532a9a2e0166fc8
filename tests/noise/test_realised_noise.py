import json

import numpy as np
import pytest

from keras_noisyfer import noise

pytestmark = pytest.mark.filterwarnings("error")

N = 50_000
NAN = np.nan


def affect(n=N, seed=3):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, 2))


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
            noise.ContinuousAnnotator(
                bias=(0.1, -0.05), standard_deviation=0.05, missing=0.1
            ),
            noise.ContinuousAnnotator(bias=0.0, standard_deviation=0.1),
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


def test_realised_confusion_by_hand():
    clean = np.array([0, 0, 0, 0, 1, 1])
    labels = np.array([[0, 1], [0, 1], [0, -1], [1, 0], [1, 2], [1, 1]])
    matrices = noise.realised_confusion(labels, clean, num_classes=3)
    np.testing.assert_allclose(
        matrices,
        [
            [[3 / 4, 1 / 4, 0], [0, 1, 0], [np.nan] * 3],
            [[1 / 3, 2 / 3, 0], [0, 1 / 2, 1 / 2], [np.nan] * 3],
        ],
    )
    np.testing.assert_array_equal(
        noise.realised_confusion(labels[:, 0], clean, 3), matrices[:1]
    )
    with pytest.raises(
        ValueError, match=r"`labels` must be -1 or class ids in .0, 2."
    ):
        noise.realised_confusion(labels, clean, num_classes=2)
    with pytest.raises(
        ValueError, match="one row a true class, 6. Received: 5"
    ):
        noise.realised_confusion(labels[:5], clean, 3)
