"""Models that others made: .keras files, SavedModels and what lies beside."""

import io
import json
import zipfile
import zlib

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from attacks import refused, write_zip, zeros
from PIL import Image

from keras_noisyfer import Encoder, MultiTaskModel, export, relabel
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.files import read_json
from keras_noisyfer.relabelling import _SAFE_KERAS, _keras_version
from keras_noisyfer.serving.predictor import Predictor
from keras_noisyfer.tasks import CategoricalTask

SHADE = CategoricalTask("shade", class_names=("dark", "grey", "light"))


@pytest.fixture(scope="module")
def data():
    labels = {"shade": np.zeros((2, 1), int)}
    images = np.zeros((2, 4, 4, 3), "uint8")
    return LabelledImages(ImageArray(images), labels, [SHADE])


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A model that labels images, its files by name."""
    layers = [
        keras.Input((4, 4, 3)),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
    ]
    path = tmp_path_factory.mktemp("good") / "model.keras"
    keras.Sequential(layers).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def load(data, good, tmp_path):
    """`load(changes)` relabels with the good model, its files changed."""

    def load(changes, compression=zipfile.ZIP_STORED):
        path = tmp_path / "model.keras"
        write_zip(path, {**good, **changes}, compression)
        return relabel(path, data, [SHADE], verbose=False)

    return load


def with_config(good, change):
    config = json.loads(good["config.json"])
    change(config)
    return {"config.json": json.dumps(config).encode()}


def test_the_good_model_is_read(load):
    assert load({}).labels["shade"].shape == (2, 1)


def test_a_lambda_layer_is_not_run(data, tmp_path):
    marker = tmp_path / "ran"
    path = tmp_path / "model.keras"
    code = f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]"
    layers = [
        keras.Input((4, 4, 3)),
        keras.layers.Lambda(eval(code)),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
    ]
    keras.Sequential(layers).save(path)
    marker.unlink(missing_ok=True)
    # Whatever the caller's process has allowed for itself.
    with refused("must be a .keras file or the folder.*ambda"):
        relabel(path, data, [SHADE])
    assert not marker.exists()
    keras.saving.load_model(path, safe_mode=False)(np.zeros((1, 4, 4, 3)))
    assert marker.exists()


@pytest.mark.parametrize(
    "layer",
    [
        {"module": "os", "class_name": "system", "config": "true"},
        {"module": "builtins", "class_name": "eval", "config": {"x": "1"}},
        {
            "module": "keras.config",
            "class_name": "enable_unsafe_deserialization",
            "config": {},
        },
        {
            "module": "keras.utils",
            "class_name": "get_file",
            "config": {"origin": "file:///etc/hostname"},
        },
        {"module": None, "class_name": [], "config": None},
        "Dense",
        None,
        7,
    ],
)
def test_other_code_is_not_called(load, good, layer):
    def change(config):
        config["config"]["layers"][1] = layer

    with refused("must be a .keras file"):
        load(with_config(good, change))
    assert keras.src.saving.serialization_lib.in_safe_mode() is not False


def test_damaged_descriptions(load, good):
    for config in (
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"class_name": "Sequential"}',
        b'{"module": "keras", "class_name": "Sequential", "config": 1}',
    ):
        with refused("must be a .keras file"):
            load({"config.json": config})
    with refused("must be a .keras file"):
        load({"model.weights.h5": b"no weights"})


def test_names_that_lead_out(load, tmp_path):
    for name in ("../../out.txt", "/out.txt", "a/../../out.txt", "..\\out"):
        with refused("must hold names within a folder"):
            load({name: b"out"})


def test_a_bomb_is_not_unpacked(load):
    with refused("must not unpack to more than"):
        load({"assets/a": zeros(2**28)}, zipfile.ZIP_DEFLATED)
    with refused("must not unpack to more than"):
        load({"config.json": zeros(2**28)}, zipfile.ZIP_DEFLATED)


def weights_with(good, change):
    """The weights, of which `change(group, name)` makes other ones."""
    file = io.BytesIO(good["model.weights.h5"])
    with h5py.File(file, "r+") as weights:
        found = []
        weights.visititems(
            lambda name, each: (
                found.append(name)
                if isinstance(each, h5py.Dataset) and each.shape == (48, 3)
                else None
            )
        )
        (name,) = found
        group, _, name = name.rpartition("/")
        del weights[group][name]
        change(weights[group], name)
    return {"model.weights.h5": file.getvalue()}


# `load_model` warns of earlier ones.
needs_safe_keras = pytest.mark.skipif(
    _keras_version() < _SAFE_KERAS, reason="Keras itself refuses these since"
)


@needs_safe_keras
def test_weights_do_not_read_other_files(load, good, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.full((48, 3), 7, "float32").tobytes())
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["a"] = np.ones((48, 3), "float32")

    def external(group, name):
        size = secret.stat().st_size
        group.create_dataset(
            name, (48, 3), "float32", external=[(str(secret), 0, size)]
        )

    def link(group, name):
        group[name] = h5py.ExternalLink(str(other), "a")

    def virtual(group, name):
        layout = h5py.VirtualLayout((48, 3), "float32")
        layout[:] = h5py.VirtualSource(str(other), "a", (48, 3))
        group.create_virtual_dataset(name, layout)

    for change in (external, link, virtual):
        with refused("must be a .keras file"):
            load(weights_with(good, change))


@needs_safe_keras
def test_weights_of_a_huge_shape(load, good):
    def huge(group, name):
        group.create_dataset(name, (2**20, 2**20), "float32", chunks=(1, 2**10))

    with refused("must be a .keras file"):
        load(weights_with(good, huge))


def test_older_formats_are_refused(data, tmp_path):
    # Keras would read them by their endings, and these may hold code.
    for name in ("model.h5", "model.hdf5", "model", "model.pkl"):
        path = tmp_path / name
        path.write_bytes(b"\x89HDF\r\n\x1a\n")
        with refused("must be a .keras file"):
            relabel(path, data, [SHADE])
    path = tmp_path / "model.keras"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with refused("must be a zip archive"):
        relabel(path, data, [SHADE])


# === SavedModels ===


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "1"
    encoder = Encoder([SHADE], (32, 32, 3), width=1 / 32, noise_code_size=4)
    export(MultiTaskModel(encoder), folder)
    return folder


def copy_model(exported, folder):
    for each in exported.rglob("*"):
        target = folder / each.relative_to(exported)
        if each.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(each.read_bytes())
    return folder


def test_folders_that_are_no_model(data, tmp_path):
    folder = tmp_path / "model"
    (folder / "assets.extra").mkdir(parents=True)
    with refused("must be a .keras file or the folder of a SavedModel"):
        relabel(folder, data, [SHADE])
    with refused("`path` must be a folder that `export`"):
        Predictor(folder)
    (folder / "saved_model.pb").write_bytes(b"\xff" * 100)
    (folder / "assets.extra" / "tasks.json").write_text("{}")
    with refused("must be a .keras file or the folder of a SavedModel"):
        relabel(folder, data, [SHADE])
    with refused("must be the folder of a SavedModel"):
        Predictor(folder)


@pytest.mark.parametrize(
    "tasks, message",
    [
        ("", "must be a JSON file"),
        ("[" * 100_000, "must be a JSON file"),
        ('{"shade": "dark"}', "must name the classes or dimensions"),
        ('{"shade": {"classes": [1, 2, 3]}}', "must name the classes"),
        ('["shade"]', "must name the classes"),
        ('{"shade": {"classes": ["a", "b"]}}', "an output for each"),
        ('{"other": {"classes": ["a", "b", "c"]}}', "an output for each"),
        ("{}", "an output for each"),
    ],
)
def test_tasks_that_are_not_the_models(exported, tmp_path, tasks, message):
    folder = copy_model(exported, tmp_path / "model")
    (folder / "assets.extra" / "tasks.json").write_text(tasks)
    with refused(message):
        Predictor(folder)


def test_another_program(tmp_path):
    folder = tmp_path / "model"
    tf.saved_model.save(tf.Module(), str(folder))
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "tasks.json").write_text(
        '{"shade": {"classes": ["a", "b"]}}'
    )
    with refused("must have the signature 'serve_bytes'"):
        Predictor(folder)


def png_of(width, height):
    """A PNG file that says it is of that size."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    content = bytearray(file.getvalue())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def test_served_bytes_that_are_no_image_to_decode(exported):
    """What clients send to a server is looked at before it is unpacked."""
    signature = tf.saved_model.load(str(exported)).signatures["serve_bytes"]

    def serve(content):
        return signature(image_bytes=tf.constant([content]))["shade"]

    for kind in ("PNG", "JPEG", "BMP"):
        file = io.BytesIO()
        Image.new("RGB", (40, 30)).save(file, kind)
        assert serve(file.getvalue()).shape == (1, 3)
    animation = io.BytesIO()
    Image.new("P", (9, 9)).save(animation, "GIF")
    for content in (
        png_of(20_000, 20_000),
        png_of(60_000, 60_000),
        png_of(2**31 - 1, 2**31 - 1),
        png_of(0, 1),
        animation.getvalue(),
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"BM",
        b"\xff\xd8\xff",
        b"text",
    ):
        with pytest.raises(tf.errors.OpError) as error:
            serve(content)
        assert not isinstance(error.value, tf.errors.ResourceExhaustedError)


def test_json_within_json(tmp_path):
    path = tmp_path / "settings.json"
    for content in (b"[" * 10**6, b"\xff", b"{'a': 1}", b""):
        path.write_bytes(content)
        with refused("settings.json must be a JSON file"):
            read_json(path)
