"""The paper's protocol from a model to a training set, on tiny data."""

import keras
import numpy as np
import pytest
from fixtures_faces import write_affectnet, write_affectnet_sets, write_raf

from keras_noisyfer.datasets.faces.affectnet import (
    load_affectnet,
    load_affectnet_base,
)
from keras_noisyfer.datasets.faces.expressions import (
    affect_task,
    expression_task,
)
from keras_noisyfer.datasets.faces.raf import load_raf, load_raf_base
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


def check(data, annotator, base, split, **options):
    machine = relabel(options.pop("model"), data, TASKS)
    assert (machine.labels["expression"] == 5).all()
    trained = base(split=split, machine=annotator, **options)
    assert trained.names == data.names
    np.testing.assert_array_equal(
        trained.labels["expression"].ravel(), machine.labels["expression"][:, 0]
    )
    return trained


def test_raf(tmp_path, model):
    write_raf(tmp_path / "raf", machine=False)
    options = {"data_dir": tmp_path / "raf", "cache_dir": tmp_path / "tfds"}
    data = load_raf(**options)
    relabel(model, data, TASKS, name="MyModel")
    trained = check(
        data, "MyModel", load_raf_base, "train", model=model, **options
    )
    np.testing.assert_allclose(
        trained.labels["affect"].reshape(-1, 2), [[0.5, -0.25]] * len(data)
    )
    np.testing.assert_array_equal(
        trained.clean["expression"], data.clean["expression"]
    )
    with pytest.raises(ValueError, match="list_label_MyModel.txt exists"):
        relabel(model, data, TASKS, name="MyModel")


@pytest.mark.parametrize("write", [write_affectnet, write_affectnet_sets])
def test_affectnet(tmp_path, model, write):
    write(tmp_path / "affectnet", train=7)
    options = {
        "data_dir": tmp_path / "affectnet",
        "cache_dir": tmp_path / "tfds",
    }
    data = load_affectnet(**options)
    # People's affect stays.
    relabel(model, data, TASKS[:1], name="MyModel")
    trained = check(
        data, "MyModel", load_affectnet_base, "train", model=model, **options
    )
    np.testing.assert_array_equal(
        trained.labels["affect"], data.labels["affect"]
    )


def test_the_authors_labels_are_never_hidden(tmp_path, model):
    # They lie in `noisy_labels`; those of `relabel` would go to `EmoLabel`.
    write_raf(tmp_path / "raf", 2, 1)
    data = load_raf(tmp_path / "raf", cache_dir=tmp_path / "tfds")
    with pytest.raises(ValueError, match="noisy_labels/list_label_Affectnet"):
        relabel(model, data, TASKS, name="AffectnetModel")
    rows = {"table_folder": "Manually_Annotated_file_lists"}
    write_affectnet(tmp_path / "affectnet", 2, 2, **rows)
    data = load_affectnet(
        tmp_path / "affectnet", cache_dir=tmp_path / "tfds", alignment="given"
    )
    with pytest.raises(ValueError, match="affectnet/training_RAFModel.csv ex"):
        relabel(model, data, TASKS, name="RAFModel")
