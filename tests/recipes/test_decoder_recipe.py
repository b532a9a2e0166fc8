"""The recipe that trains and measures a decoder."""

import json

import numpy as np
import pytest
from common import RECIPES, load_recipe

import keras_noisyfer as kn

CLASSES = 7


@pytest.fixture
def recipe(monkeypatch):
    # It shares the cases of FER+.
    monkeypatch.syspath_prepend(str(RECIPES))
    return load_recipe("decoder")


@pytest.fixture
def test_faces():
    """Of class 0 ten times as many as of each other; two without affect."""
    expressions = np.array([0] * 30 + [*range(1, CLASSES)] * 3, "int32")
    affect = np.linspace(-0.9, 0.9, 2 * len(expressions), dtype="float32")
    affect = affect.reshape(-1, 2).copy()
    affect[[0, 31], 1] = np.nan
    tasks = [
        kn.CategoricalTask("expression", class_names=[*"abcdefg"]),
        kn.ContinuousTask("affect", ("valence", "arousal")),
    ]
    images = np.zeros((len(expressions), 32, 32, 3), "uint8")
    labels = {"expression": expressions[:, None], "affect": affect[:, None]}
    clean = {"expression": expressions, "affect": affect}
    data = kn.datasets.LabelledImages(
        kn.datasets.ImageArray(images), labels, tasks, clean
    )
    return data.clean_labels()


def test_asks_as_often_for_each_expression_and_for_known_affect(
    recipe, test_faces
):
    asked = recipe.ask(test_faces)
    counts = np.bincount(asked["expression"])
    assert counts.tolist() == [recipe.ASKED_OF_EACH] * CLASSES
    assert np.isfinite(asked["affect"]).all()
    # Those of a face belong together.
    truth = test_faces.clean["affect"]
    for expression, affect in zip(*asked.values(), strict=True):
        own = truth[test_faces.clean["expression"] == expression]
        assert (own == affect).all(axis=1).any()


def test_an_expression_that_no_face_shows_is_refused(recipe, test_faces):
    shown = test_faces.labels["expression"].reshape(-1) != 3
    with pytest.raises(ValueError, match="No test face .* is d"):
        recipe.ask(test_faces.select(np.flatnonzero(shown)))


def test_rare_expressions_are_drawn_more_often(recipe, test_faces):
    # Majorities: 30 faces of class 0, 3 of each other; one without a label.
    labels = test_faces.labels["expression"].reshape(-1, 1).copy()
    labels[-1] = -1
    faces = test_faces.with_labels({"expression": labels})
    assert recipe.balance(faces, 0.0, seed=0) is faces
    many = faces.select(np.tile(np.arange(len(faces)), 200))
    # By hand: sqrt(30) / (sqrt(30) + 5 sqrt(3) + sqrt(2)) is 0.352.
    for power, share in ((1.0, 1 / 7), (0.5, 0.352)):
        drawn = recipe.balance(many, power, seed=0).labels["expression"]
        assert len(drawn) == len(many) and (drawn >= 0).all()
        assert np.mean(drawn == 0) == pytest.approx(share, abs=0.02)


class Decoder:
    """Draws nothing, but gives the labels to whoever reads them."""

    def generate(self, labels, seed):
        return labels


class Judge:
    def __init__(self, sees):
        self.sees = sees

    def predict(self, labels, verbose):
        expression = np.where(self.sees, labels["expression"], 0)
        probabilities = np.eye(CLASSES)[expression]
        return {"expression": probabilities, "affect": labels["affect"] * 0.5}


def test_measures_what_a_judge_sees(recipe, test_faces):
    found = recipe.measure(Decoder(), Judge(True), test_faces, 0)
    assert found["recognized"] == found["recognized g"] == 1
    blind = recipe.measure(Decoder(), Judge(False), test_faces, 0)
    assert blind["recognized"] == pytest.approx(1 / 7)
    assert (blind["recognized a"], blind["recognized b"]) == (1, 0)
    values = recipe.ask(test_faces)["affect"].astype("float64")
    # 2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2) with y = x / 2.
    variance, mean = values.var(axis=0), values.mean(axis=0)
    expected = variance / (1.25 * variance + 0.25 * mean**2)
    key = next(each for each in found if each.endswith("valence_ccc"))
    assert found[key] == pytest.approx(expected[0], rel=1e-3)


@pytest.mark.slow
def test_trains_draws_and_exports(recipe, tmp_path, capsys):
    flags = "--train-size 64 --epochs 2 --warmup-epochs 1 --judge-epochs 1"
    arguments = [*flags.split(), "--output-dir", str(tmp_path)]
    recipe.main(arguments)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["settings"]["kl_weight"] == 1e-3
    assert 0 <= results["recognized"] <= 1
    assert (tmp_path / "generated_faces.png").stat().st_size > 1000
    assert (tmp_path / "saved_decoder" / "1" / "saved_model.pb").is_file()
    printed = capsys.readouterr().out
    # Both are trained already.
    recipe.main(arguments)
    again = json.loads((tmp_path / "results.json").read_text())
    assert again == results
    assert "loss" not in capsys.readouterr().out
    assert "recognized: " in printed
    with pytest.raises(SystemExit):
        recipe.main([*arguments, "--balance", "1"])
    assert "are of balance=0.0; others need" in capsys.readouterr().err
