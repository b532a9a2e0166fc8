import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
from common import RECIPES
from PIL import Image

from keras_noisyfer.comparison import data as comparison_data
from keras_noisyfer.comparison.cell import run_cell
from keras_noisyfer.comparison.data import Case, load_case
from keras_noisyfer.comparison.epoch_log import (
    EpochLog,
    evaluate,
    selection_score,
)
from keras_noisyfer.comparison.experiment import Cell
from keras_noisyfer.comparison.experiment_file import read_experiment
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.results import write_json
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TABLE1 = read_experiment(RECIPES / "experiments" / "table1.toml")
PROFILE = {
    **dataclasses.asdict(TABLE1.profile),
    "train_size": 40,
    "validation_size": 12,
    "test_size": 16,
    "epochs": 2,
    "warmup_epochs": 1,
    "batch_size": 20,
    "width": 1 / 16,
}


# === Data ===


def test_case_has_disjoint_images_and_noisy_validation_labels(cifar10):
    case = load_case("cifar10", PROFILE, seed=1, path=cifar10)
    names = [set(each.names) for each in (case.train, case.validation)]
    assert list(map(len, names)) == [40, 12] and not names[0] & names[1]
    assert case.image_shape == (32, 32, 3)
    for part in (case.train, case.validation):
        wrong = part.labels["object"] != part.clean["object"][:, None]
        assert 0.1 < wrong.mean() < 0.5
    assert len(case.test) == 16 and case.test.tasks[0].annotators == 1
    # Other noise on the same images.
    other = load_case("cifar10", PROFILE, seed=2, path=cifar10)
    assert other.train.names == case.train.names
    assert (other.train.labels["object"] != case.train.labels["object"]).any()
    # The first annotator of the three, with the same mistakes.
    single = load_case("cifar10", PROFILE, 1, annotators=1, path=cifar10)
    assert single.train.tasks[0].annotators == 1
    np.testing.assert_array_equal(
        single.train.labels["object"], case.train.labels["object"][:, :1]
    )


def test_case_of_faces_keeps_the_tasks_asked_for():
    sizes = {"train_size": 20, "validation_size": 10, "test_size": 8}
    profile = {**PROFILE, **sizes}
    case = load_case("synthetic-faces", profile, 0, tasks=["affect"])
    assert [task.name for task in case.train.tasks] == ["affect"]
    assert set(case.test.labels) == {"affect"}
    clean = case.train.clean["affect"]
    assert (case.train.labels["affect"][:, 0] != clean).any()


def test_profile_asks_for_images_there_are(cifar10):
    profile = {**PROFILE, "train_size": 60}
    with pytest.raises(ValueError, match="60 training and 12 val.*: 64"):
        load_case("cifar10", profile, 0, path=cifar10)
    profile = {**PROFILE, "train_size": None}
    assert len(load_case("cifar10", profile, 0, path=cifar10).train) == 52


# === What is written down ===


def test_epoch_is_chosen_by_noisy_labels_alone(tmp_path):
    tasks = [
        CategoricalTask("expression", 3),
        ContinuousTask("affect", ("valence", "arousal")),
    ]
    labels = {
        "expression": np.zeros((4, 1), int),
        "affect": np.zeros((4, 1, 2)),
    }
    images = ImageArray(np.zeros((4, 32, 32, 3), "uint8"))
    data = LabelledImages(images, labels, tasks)
    log = EpochLog(
        tmp_path / "h.csv", Case(data, data, data, (32, 32, 3), None)
    )
    log.rows = [
        {
            "epoch": epoch,
            "step": 5 * epoch,
            "validation_expression_accuracy": accuracy,
            "validation_affect_ccc": ccc,
            "validation_affect_valence_ccc": 9.0,
            "test_expression_accuracy": test,
            "test_affect_mse": mse,
        }
        for epoch, accuracy, ccc, test, mse in (
            (1, 0.5, 0.1, 0.9, 0.3),
            (2, 0.4, 0.4, 0.6, 0.1),
            (3, 0.6, 0.1, 0.7, 0.2),
        )
    ]
    assert log.summary() == {
        "epochs": {"last": 3, "chosen": 2},
        "steps": 15,
        # Accuracy and CCC, not the CCC of one dimension.
        "noisy_score": pytest.approx(0.8),
        "test": {
            "expression_accuracy": {"last": 0.7, "chosen": 0.6, "best": 0.9},
            "affect_mse": {"last": 0.2, "chosen": 0.1, "best": 0.1},
        },
    }


def test_metrics_on_labels_of_several_annotators():
    tasks = [
        CategoricalTask("expression", 2, annotators=2),
        ContinuousTask("affect", ("valence",)),
    ]
    labels = {
        "expression": np.array([[0, 1], [1, -1], [0, 0]]),
        "affect": np.full((3, 1), np.nan, "float32"),
    }
    images = ImageArray(np.zeros((3, 32, 32, 3), "uint8"))
    data = LabelledImages(images, labels, tasks)
    predictions = {
        "expression": np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]),
        "affect": np.zeros((3, 1)),
    }
    # Of five labels two agree; no image has a valence.
    assert evaluate(data, predictions) == {
        "expression_accuracy": pytest.approx(2 / 5)
    }


@pytest.fixture(scope="module")
def trained(cifar10, tmp_path_factory):
    """Folders of cells that have been run, by method."""
    folders = {}
    for method in ("majority-vote", "proposed"):
        folder = tmp_path_factory.mktemp(method)
        cell = Cell("multi-label", method, 3, "cifar10")
        write_json(
            folder / "cell.json",
            {
                "cell": dataclasses.asdict(cell),
                "profile": PROFILE,
                "data": {"path": cifar10},
                "imports": [],
            },
        )
        run_cell(folder)
        folders[method] = folder
    return folders


@pytest.mark.slow
@pytest.mark.smoke
def test_cell_writes_its_results(trained):
    for method, folder in trained.items():
        with open(folder / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["1", "2"]
        assert [row["step"] for row in rows] == ["2", "4"]
        results = json.loads((folder / "results.json").read_text())
        accuracy = results["test"]["object_accuracy"]
        tested = [float(row["test_object_accuracy"]) for row in rows]
        assert accuracy["last"] == tested[-1]
        assert accuracy["best"] == max(tested)
        assert results["images"] == {"train": 40, "validation": 12, "test": 16}
        # What the annotators said, whatever the method makes of it.
        assert len(results["realised_noise"]["object"]) == 3
        with np.load(folder / "predictions.npz") as file:
            right = file["object"] == file["object_clean"].reshape(-1)
        assert right.mean() == pytest.approx(accuracy["last"], abs=1e-6)
        assert (folder / "samples.npz").exists() == (method == "proposed")
        # The joint loss begins after the warm-up.
        if method == "proposed":
            losses = [float(row["discriminator_loss"]) for row in rows]
            assert losses[0] == 0 and losses[1] > 0


@pytest.mark.slow
@pytest.mark.smoke
def test_cell_writes_what_the_decoder_draws(trained):
    with np.load(trained["proposed"] / "samples.npz") as file:
        assert file["images"].shape == (8, 10, 32, 32, 3)
        assert file["images"].dtype == np.uint8 and np.ptp(file["images"]) > 0
        assert list(file["class_names"][:2]) == ["airplane", "automobile"]
    model = keras.saving.load_model(trained["proposed"] / "model.keras")
    assert int(model.completed_epochs) == 2


def test_faces_of_three_annotators():
    sizes = {"train_size": 20, "validation_size": 10, "test_size": 8}
    case = load_case("crowd-faces", {**PROFILE, **sizes}, 0)
    assert [task.annotators for task in case.train.tasks] == [3, 1]


def test_a_table_of_ones_own_needs_test_images(tmp_path):
    lines = ["image,ann,bob,truth,split"]
    for index in range(80):
        image = Image.new("RGB", (32, 32), (index, 0, 0))
        image.save(tmp_path / f"{index}.png")
        split = "train" if index < 60 else "test"
        lines.append(
            f"{index}.png,{'ab'[index % 2]},b,{'ba'[index % 2]},{split}"
        )
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    options = {
        "csv": str(table),
        "image_root": str(tmp_path),
        "categorical": {"letter": "ann,bob"},
        "clean": {"letter": "truth"},
        "where": {"split": "train"},
    }
    with pytest.raises(ValueError, match="test images: `test_csv` or"):
        load_case("csv", PROFILE, 0, **options)
    case = load_case("csv", PROFILE, 0, **options, test_where={"split": "test"})
    assert (len(case.train), len(case.test)) == (40, 16)
    assert case.train.tasks[0].annotators == 2
    even = [int(name.removesuffix(".png")) % 2 == 0 for name in case.test.names]
    np.testing.assert_array_equal(case.test.labels["letter"].ravel(), even)


def test_a_data_set_of_ones_own_is_one_registration(monkeypatch):
    monkeypatch.setattr(comparison_data, "DATASETS", {})
    tasks = [CategoricalTask("shade", 2)]

    @comparison_data.dataset("shades", "Shades", argument="count")
    def shades(split, profile, seed, count):
        labels = {"shade": np.arange(count, dtype="int32") % 2}
        images = np.zeros((count, 32, 32, 3), "uint8")
        return LabelledImages(ImageArray(images), labels, tasks, labels)

    case = load_case("shades", PROFILE, 0, count=80)
    assert case.train.tasks == case.test.tasks == tuple(tasks)
    assert len(case.train) == PROFILE["train_size"]
    with pytest.raises(ValueError, match="`name` must be another .*: 'shades'"):
        comparison_data.dataset("shades", "Shades")(load_case)
    comparison_data.dataset("shades", "Gray")(shades)
    assert comparison_data.DATASETS["shades"].title == "Gray"


def test_an_epoch_is_chosen_by_what_is_known():
    tasks = [CategoricalTask("mood", 2), ContinuousTask("x", ("a", "b"))]
    row = {
        "validation_mood_accuracy": 0.5,
        "validation_x_a_ccc": 0.2,
        "validation_x_b_ccc": 0.4,
        "validation_x_ccc": 0.3,
    }
    assert selection_score(row, tasks) == 0.8
    # One of the values has no label.
    row |= dict.fromkeys(("validation_x_b_ccc", "validation_x_ccc"), np.nan)
    assert selection_score(row, tasks) == 0.7
    assert selection_score(row | {"validation_x_a_ccc": np.nan}, tasks) == 0.5
