import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer import noise
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.models import MultiTaskModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.relabelling import relabel
from keras_noisyfer.serving.export import export
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

SHADE = CategoricalTask("shade", class_names=("dark", "grey", "light"))
AFFECT = ContinuousTask("affect", ("valence", "arousal"))
LEVELS = np.array([0, 120, 255, 250, 5], "uint8")
TRUTH = np.array([0, 1, 2, 1, 0])


@pytest.fixture
def data():
    images = np.broadcast_to(LEVELS[:, None, None, None], (5, 8, 8, 3))
    labels = {
        "shade": np.zeros((5, 2), int),
        "affect": np.zeros((5, 2), "float32"),
    }
    return LabelledImages(
        ImageArray(images),
        labels,
        [SHADE.with_annotators(2), AFFECT],
        clean={"shade": TRUTH},
    )


def brightness_model(order=("dark", "grey", "light"), softmax=True):
    """Classifies by the mean grey level x in [-1, 1]: the scores -x, 0.5 and
    x - ... of dark, grey and light; affect is (2 x, -x)."""
    inputs = keras.Input((8, 8, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    slopes = {"dark": -8.0, "grey": 0.0, "light": 8.0, "blue": 0.0}
    biases = {"dark": 0.0, "grey": 4.0, "light": 0.0, "blue": 20.0}
    shade = keras.layers.Dense(
        len(order), "softmax" if softmax else None, name="shade"
    )
    affect = keras.layers.Dense(2, name="affect")
    model = keras.Model(inputs, {"shade": shade(mean), "affect": affect(mean)})
    third = np.full((3, 1), 1 / 3)
    shade.set_weights(
        [
            third * [slopes[name] for name in order],
            np.array([biases[name] for name in order]),
        ]
    )
    affect.set_weights([third * [2.0, -1.0], np.zeros(2)])
    return model


def test_labels_are_the_models_predictions(data, capsys):
    machine = relabel(brightness_model(), data, [SHADE, AFFECT], batch_size=2)
    np.testing.assert_array_equal(
        machine.labels["shade"], [[0], [1], [2], [2], [0]]
    )
    x = LEVELS / 127.5 - 1
    np.testing.assert_allclose(
        machine.labels["affect"][:, 0],
        np.clip(np.stack([2 * x, -x], 1), -1, 1),
        atol=1e-6,
    )
    assert [task.annotators for task in machine.tasks] == [1, 1]
    realised = noise.realised_noise(
        machine.labels["shade"], machine.clean["shade"]
    )
    assert realised[0]["wrong"] == pytest.approx(0.2)
    printed = capsys.readouterr().out
    assert "shade annotator 0: 20.0 % wrong, 0.0 % missing (n = 5)" in printed
    relabel(brightness_model(), data, [SHADE], verbose=False)
    assert "wrong" not in capsys.readouterr().out
    # What it was made of is as it was.
    assert data.labels["shade"].shape == (5, 2) and not data.extras


@pytest.mark.parametrize("softmax", [True, False])
def test_classes_are_mapped_by_name(data, softmax):
    # "blue" always has the highest score, and the data do not know it.
    order = ("blue", "light", "dark", "grey")
    task = CategoricalTask("shade", class_names=order)
    model = brightness_model(order, softmax=softmax)
    model = keras.Model(model.input, model.output["shade"])
    machine = relabel(model, data, [task])
    np.testing.assert_array_equal(
        machine.labels["shade"][:, 0], [0, 1, 2, 2, 0]
    )
    assert machine.tasks == (SHADE,)
    assert set(machine.labels) == {"shade"}


def test_probabilities_are_kept_in_the_order_of_the_data(data):
    model = brightness_model(("light", "dark", "grey"), softmax=False)
    task = CategoricalTask("shade", class_names=("light", "dark", "grey"))
    machine = relabel(model, data, [task])
    x = LEVELS / 127.5 - 1
    logits = np.stack([-8 * x, 4 + 0 * x, 8 * x], axis=1)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(
        machine.extras["shade_probabilities"], expected, atol=1e-5
    )


def test_reads_saved_models_and_keras_files(data, tmp_path):
    model = brightness_model()
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "exported", verbose=False)
    for path in (tmp_path / "model.keras", str(tmp_path / "exported")):
        machine = relabel(path, data, [SHADE, AFFECT])
        np.testing.assert_array_equal(
            machine.labels["shade"][:, 0], [0, 1, 2, 2, 0]
        )


@pytest.mark.parametrize("version, warned", [("3.12.0", 1), ("3.15.1", 0)])
def test_warns_of_files_where_keras_does_not_guard(
    data, tmp_path, monkeypatch, version, warned
):
    path = tmp_path / "shades.keras"
    brightness_model().save(path)
    monkeypatch.setattr(keras, "__version__", version)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        relabel(path, data, [SHADE, AFFECT], verbose=False)
    texts = [str(each.message) for each in found]
    assert sum("Below Keras 3.15.1" in text for text in texts) == warned


def test_own_models_and_their_exports_agree(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 32, 32, 3)).astype("uint8")
    data = LabelledImages(
        ImageArray(images), {"shade": np.zeros(6, int)}, [SHADE]
    )
    keras.utils.set_random_seed(0)
    model = MultiTaskModel(Encoder([SHADE, AFFECT], (32, 32, 3), width=1 / 16))
    export(model, tmp_path / "1")
    expected = model.predict(images / 127.5 - 1, verbose=0)["shade"]
    exported = relabel(tmp_path / "1", data, [SHADE], image_shape=(32, 32, 3))
    for machine in (relabel(model, data, [SHADE]), exported):
        np.testing.assert_allclose(
            machine.extras["shade_probabilities"], expected, atol=1e-5
        )
    # Both know the order of their classes.
    shade = CategoricalTask(
        "shade", class_names=sorted(SHADE.class_names)[::-1]
    )
    affect = ContinuousTask("affect", ("arousal", "valence"))
    for own in (model, tmp_path / "1"):
        for task in (shade, affect):
            with pytest.raises(ValueError, match="in their order: (dark|val)"):
                relabel(own, data, [task], image_shape=(32, 32, 3))


def test_preprocessing(data):
    machine = relabel(
        brightness_model(), data, [SHADE], preprocess=lambda images: -images
    )
    np.testing.assert_array_equal(
        machine.labels["shade"][:, 0], [2, 1, 0, 0, 2]
    )


def test_writes_what_can_be_read_onto_the_data(data, tmp_path):
    path = tmp_path / "bright.csv"
    machine = relabel(brightness_model(), data, [SHADE, AFFECT], path)
    lines = path.read_text().splitlines()
    assert lines[0] == "image,task,annotator,value"
    assert lines[1] == "0,shade,bright,dark"
    assert lines[2] == "0,affect.valence,bright,-1.0"
    assert len(lines) == 1 + 3 * 5
    assert machine.annotators == {"shade": ["bright"], "affect": ["bright"]}
    read = data.with_machine_labels(path)
    assert (read.tasks, read.annotators) == (machine.tasks, machine.annotators)
    for kind in ("labels", "clean"):
        for name, array in getattr(machine, kind).items():
            np.testing.assert_array_equal(getattr(read, kind)[name], array)
    with pytest.raises(ValueError, match="`path` must be.*bright.csv, which"):
        relabel(None, data, [SHADE], path)


def test_models_of_uint8_images(data, tmp_path):
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    model = keras.Model(inputs, brightness_model()(scaled)["shade"])
    model.export(tmp_path / "exported", verbose=False)
    for each in (model, tmp_path / "exported"):
        machine = relabel(each, data, [SHADE])
        np.testing.assert_array_equal(
            machine.labels["shade"][:, 0], [0, 1, 2, 2, 0]
        )
    with pytest.raises(ValueError, match="`preprocess` must return uint8"):
        relabel(
            tmp_path / "exported", data, [SHADE], preprocess=lambda x: x + 1
        )


def test_classes_without_names_do_not_match_names(data):
    with pytest.raises(ValueError, match="must predict what the data has"):
        relabel(brightness_model(), data, [CategoricalTask("shade", 3)])


def test_needs_labelled_images():
    with pytest.raises(ValueError, match="`data` must be Labelled.*str"):
        relabel(None, "labels.csv", [SHADE])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"path": "gone/x.csv"}, "`path` must be in a folder.*gone/x.csv"),
        ({"model": "nowhere"}, "`model` must be.*nowhere, where there is"),
        ({"model": tf.Module()}, "`model` must be a Keras model.*Module"),
        (
            {"tasks": [CategoricalTask("shade", class_names=("a", "b"))]},
            "`tasks` must predict what the data has",
        ),
        (
            {"tasks": [ContinuousTask("shade", ("a", "b"))]},
            "`tasks` must predict what the data has",
        ),
        (
            {"tasks": [CategoricalTask("mood", 3)]},
            r"an output for each of the tasks \['mood'\]",
        ),
        (
            {"tasks": [ContinuousTask("affect", ("valence",))]},
            "`tasks` must predict what the data has",
        ),
    ],
)
def test_rejects_what_does_not_fit(data, arguments, message):
    arguments = {"model": brightness_model(), "tasks": [SHADE], **arguments}
    with pytest.raises(ValueError, match=message):
        relabel(data=data, **arguments)


def test_rejects_outputs_of_another_width(data):
    model = brightness_model(("dark", "grey"))
    with pytest.raises(ValueError, match=r"shape \(5, 3\).*shape=\(5, 2\)"):
        relabel(model, data, [SHADE])


def test_needs_the_size_of_a_model_without_one(data):
    model = keras.Sequential([keras.layers.GlobalAveragePooling2D()])
    model.build((None, None, None, 3))
    with pytest.raises(ValueError, match="`image_shape` must be given"):
        relabel(model, data, [SHADE])
