import importlib
import pathlib
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from keras_noisyfer.comparison.data import DATASETS, load_case
from keras_noisyfer.models import MultiTaskModel
from keras_noisyfer.networks import Encoder


@pytest.fixture(scope="module")
def toy():
    """The file, of which other tests see nothing."""
    yield importlib.import_module("toy_shapes")
    del DATASETS["shapes"], sys.modules["toy_shapes"]


@pytest.fixture
def shapes(toy, tmp_path):
    """Forty images; Bob takes every fourth shape for the other."""
    (tmp_path / "images").mkdir()
    lines = []
    for index in range(40):
        kind, size = index % 2, index // 2 % 2
        pixels = np.full((8, 8, 3), 60 + 120 * kind, "uint8")
        pixels[: 4 * (1 + size)] //= 2
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
        names = [task.class_names for task in toy.TASKS]
        said = [
            f"{who}={names[0][shape]},{word}"
            for who, shape, word in (
                ("truth", kind, names[1][size]),
                ("ann", kind, names[1][size]),
                ("bob", kind ^ (index % 4 == 0), "?"),
            )
        ]
        lines.append(" ".join([f"{index}.png", *said]))
    (tmp_path / "votes.txt").write_text("\n".join(lines))
    return tmp_path


def test_a_data_set_of_ones_own_takes_one_short_file(toy):
    lines = pathlib.Path(toy.__file__).read_text().splitlines()
    assert len(lines) <= 60


def test_its_labels(toy, shapes):
    data = toy.load_shapes(shapes)
    assert len(data) == 40
    assert data.annotators == {"shape": ["ann", "bob"], "size": ["ann"]}
    ann, bob = data.labels["shape"].T
    np.testing.assert_array_equal(ann, np.arange(40) % 2)
    np.testing.assert_array_equal(ann, data.clean["shape"])
    assert np.flatnonzero(bob != ann).tolist() == list(range(0, 40, 4))
    np.testing.assert_array_equal(data.labels["size"][:, 0], data.clean["size"])


def test_it_trains_and_can_be_compared_on(shapes):
    profile = dict(train_size=20, validation_size=10, test_size=10)
    case = load_case(
        "shapes", {**profile, "image_size": 32}, seed=0, data_dir=shapes
    )
    keras.utils.set_random_seed(0)
    encoder = Encoder(case.train.tasks, (32, 32, 3), width=0.0625)
    model = MultiTaskModel(encoder)
    model.compile(keras.optimizers.Adam(1e-3))
    history = model.fit(
        case.train.batches((32, 32, 3), 10, training=True),
        validation_data=case.test.batches((32, 32, 3), 10),
        epochs=1,
        verbose=0,
    ).history
    assert np.isfinite(history["loss"]).all()
    assert 0 <= history["val_shape_accuracy"][0] <= 1
