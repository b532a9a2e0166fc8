"""The paper's protocol from a model to a training set, on tiny data."""

import keras
import numpy as np
import pytest
from fixtures_faces import write_affectnet, write_affectnet_sets, write_raf

from keras_noisyfer.comparison.data import DATASETS
from keras_noisyfer.datasets.faces.affectnet import load_affectnet
from keras_noisyfer.datasets.faces.expressions import (
    affect_task,
    expression_task,
)
from keras_noisyfer.datasets.faces.raf import load_raf
from keras_noisyfer.relabelling import relabel


@pytest.fixture(scope="module")
def model():
    """Always says the fourth class of its own order, and an affect."""
    inputs = keras.Input((32, 32, 3))
    zeros = keras.layers.GlobalAveragePooling2D()(inputs)
    scores = keras.layers.Dense(7, kernel_initializer="zeros")
    affect = keras.layers.Dense(2, kernel_initializer="zeros")
    outputs = {"expression": scores(zeros), "affect": affect(zeros)}
    scores.bias.assign([0, 0, 0, 9, 0, 0, 0])
    affect.bias.assign([0.5, -0.25])
    return keras.Model(inputs, outputs)


# Of the model: its fourth class is disgust, whose id is 5 here.
ORDER = ("sad", "anger", "happy", "disgust", "fear", "neutral", "surprise")
TASKS = [expression_task(ORDER), affect_task()]


def check(tmp_path, model, load, tasks, **options):
    """The paper's protocol: people's images, and what the model says."""
    options["cache_dir"] = tmp_path / "tfds"
    data = load(base=True, machine="people", **options)
    people = data.clean["expression"]
    assert data.labels["expression"][:, 0].tolist() == people.tolist()
    path = tmp_path / "MyModel.csv"
    relabel(model, data, tasks, path)
    trained = data.with_machine_labels(path)
    assert trained.names == data.names
    assert (trained.labels["expression"] == 5).all()
    assert trained.annotators["expression"] == ["MyModel"]
    np.testing.assert_array_equal(trained.clean["expression"], people)
    assert trained.tasks == data.tasks
    return data, trained


def test_raf(tmp_path, model):
    write_raf(tmp_path / "raf", machine=False)
    folder = tmp_path / "raf"
    data, trained = check(tmp_path, model, load_raf, TASKS, data_dir=folder)
    assert np.isnan(data.labels["affect"]).all()
    np.testing.assert_allclose(
        trained.labels["affect"].reshape(-1, 2), [[0.5, -0.25]] * len(data)
    )
    # As the command line loads it.
    options = {"cache_dir": tmp_path / "tfds", "data_dir": folder}
    options["machine_labels"] = tmp_path / "MyModel.csv"
    for split, wrong in (("train", 7), ("test", 0)):
        load = DATASETS["raf-base"].load
        given = load(split, {"image_size": 32}, 0, **options)
        assert given.tasks == data.tasks
        said, truth = (
            given.labels["expression"][:, 0],
            given.clean["expression"],
        )
        assert (said != truth).sum() == wrong


@pytest.mark.parametrize("write", [write_affectnet, write_affectnet_sets])
def test_affectnet(tmp_path, model, write):
    write(tmp_path / "affectnet", train=11)
    folder = tmp_path / "affectnet"
    data, trained = check(
        tmp_path, model, load_affectnet, TASKS[:1], data_dir=folder
    )
    # Those of the seven expressions, and people's affect stays.
    assert len(data) == 7
    np.testing.assert_array_equal(
        trained.labels["affect"], data.labels["affect"]
    )
