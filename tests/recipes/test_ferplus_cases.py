"""FER+ with labels of machines and people, and the model trained on them."""

import csv
import json
import sys

import numpy as np
import pytest
from common import RECIPES, load_recipe
from experiments import ferplus_cases
from PIL import Image

from keras_noisyfer.comparison import dataset, read_experiment
from keras_noisyfer.serving.predictor import Predictor


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory):
    """Eighty faces of four expressions by their shade; the fifth of all votes
    is a mistake, the machine always says anger."""
    folder = tmp_path_factory.mktemp("ferplus")
    (folder / "images").mkdir()
    expressions = ferplus_cases.EXPRESSIONS[:4]
    rows = []
    for index in range(80):
        truth = expressions[index % 4]
        name = f"{index:02}.png"
        shade = Image.new("L", (48, 48), 60 * (index % 4) + 10)
        shade.save(folder / "images" / name)
        votes = dict.fromkeys(ferplus_cases.VOTES, 0)
        votes |= {truth: 7, expressions[(index + 1) % 4]: 2, "unknown": 1}
        rows.append(
            {
                "image": name,
                "split": "train" if index < 60 else "validation",
                "expression_fer2013": truth,
                "expression_machine": "anger",
                "valence_machine": (index % 4 - 1.5) / 2,
                "arousal_machine": (1.5 - index % 4) / 3,
                **{f"votes_{each}": count for each, count in votes.items()},
                # The crowd is undecided about some.
                "majority": "" if index % 10 == 9 else truth,
                "valence_crowd": 0.25,
                "arousal_crowd": 0.0,
            }
        )
    with open(folder / "labels.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_machine_labels_are_tested_on_the_crowds(ferplus):
    train = ferplus_cases.machine("train", {}, 0, ferplus)
    names = train.tasks[0].class_names
    assert set(train.labels["expression"].ravel()) == {names.index("anger")}
    np.testing.assert_allclose(train.labels["affect"][0, 0], [-0.75, 0.5])
    test = ferplus_cases.machine("test", {}, 0, ferplus).clean_labels()
    expected = [(-1 if n % 10 == 9 else n % 4) for n in range(60, 80)]
    assert test.labels["expression"].ravel().tolist() == expected
    assert set(test.labels["affect"][..., 0].ravel()) == {0.25}


def test_votes_are_of_the_crowd(ferplus):
    train = ferplus_cases.three_votes("train", {}, 0, ferplus)
    votes, truth = train.labels["expression"], np.arange(60)[:, None] % 4
    assert votes.shape == (60, 3)
    # The last of the seven expressions is no one's; unknown is missing.
    assert set(np.unique(votes)) == {-1, 0, 1, 2, 3}
    assert 0.55 < (votes == truth).mean() < 0.85
    assert ((votes == truth) | (votes == (truth + 1) % 4) | (votes < 0)).all()
    again = ferplus_cases.three_votes("train", {}, 0, ferplus)
    np.testing.assert_array_equal(again.labels["expression"], votes)
    other = ferplus_cases.three_votes("train", {}, 1, ferplus)
    assert (other.labels["expression"] != votes).any()
    sources = ferplus_cases.three_sources("train", {}, 0, ferplus)
    assert sources.annotators["expression"] == [
        "expression_fer2013",
        "expression_machine",
        "vote_1",
    ]


def test_it_may_be_imported_beside_an_experiment(monkeypatch):
    # As a recipe has it, and as an experiment's file names it.
    folder = RECIPES / "experiments"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "ferplus_cases", raising=False)
    experiment = read_experiment(folder / "table2_ferplus.toml")
    assert experiment.data == "ferplus-machine"
    # Another file's function of that name is another data set.
    with pytest.raises(ValueError, match="`name` must be another"):

        @dataset("ferplus-machine", "Other")
        def machine(split, profile, seed):
            raise AssertionError


@pytest.mark.slow
@pytest.mark.smoke
def test_model_for_real_faces(ferplus, tmp_path, monkeypatch, capsys):
    recipe = load_recipe("ferplus_model")
    monkeypatch.setattr(recipe, "HELD_OUT", 10)
    flags = ["--method", "vggnet", "--epochs", "2", "--width", "0.0625"]
    recipe.main([str(ferplus), *flags, "--output-dir", str(tmp_path)])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["faces"] == 18
    assert 0 <= results["expected calibration error"] <= 1
    card = (tmp_path / "saved_model" / "1" / "MODEL_CARD.md").read_text()
    assert "three sampled votes" in card and "% wrong" in card
    image = ferplus / "images" / "00.png"
    (row,) = Predictor(tmp_path / "saved_model").rows([image])
    assert row["expression"] in ferplus_cases.EXPRESSIONS
    for name in ("model.onnx", "model_int8.tflite"):
        assert (tmp_path / "saved_model" / "1" / name).stat().st_size > 1000
    for name in ("reliability", "confusion_matrix"):
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
