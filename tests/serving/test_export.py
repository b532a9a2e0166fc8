import dataclasses
import io
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_noisyfer import (
    CategoricalTask,
    ContinuousTask,
    Encoder,
    JointDistributionGAN,
    MultiTaskModel,
    export,
    export_decoder,
    make_dataset,
)
from keras_noisyfer.datasets.image_sources import decode_image
from keras_noisyfer.serving.model_card import ModelCard, write_model_card
from keras_noisyfer.serving.predictor import Predictor

# Of a shallower encoder int8 loses more.
pytestmark = pytest.mark.usefixtures("whole_networks")

TASKS = [
    CategoricalTask(
        "expression", class_names=("neutral", "happy", "sad"), annotators=2
    ),
    ContinuousTask("affect", ("valence", "arousal")),
]
CARD = ModelCard(
    title="Two drawn faces",
    data="Drawn faces.",
    metrics={"accuracy": 0.51234},
    realised_noise={
        "expression": [{"n": 64, "missing": 0.0, "wrong": 0.25}] * 2
    },
    faces=True,
)


@pytest.fixture(scope="module")
def model():
    return JointDistributionGAN(Encoder(TASKS, (32, 32, 3), width=1 / 16))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (100, 32, 32, 3)).astype("uint8")


@pytest.fixture(scope="module")
def expected(model, images):
    return model.predict(images.astype("float32") / 127.5 - 1, verbose=0)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """The SavedModel of the model."""
    path = tmp_path_factory.mktemp("saved_models") / "faces" / "1"
    export(model, path, card=CARD)
    return path


@pytest.fixture(scope="module")
def converted(model, images, tmp_path_factory):
    """The other formats."""
    for module in ("onnx", "tf2onnx"):
        pytest.importorskip(module)
    path = tmp_path_factory.mktemp("converted") / "1"
    shape = (len(images), 2)
    labels = {"expression": np.zeros(shape, int), "affect": np.zeros(shape)}
    export(
        model,
        path,
        formats=("onnx", "litert", "litert_int8"),
        calibration=make_dataset(images, labels, TASKS, batch_size=32),
    )
    return path


def assert_predicted(outputs, expected, count=None):
    assert set(outputs) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(outputs[name], values[:count], atol=1e-4)


# === SavedModel ===


@pytest.mark.parametrize("count", [1, 3])
def test_signatures_give_what_the_model_predicts(
    folder, images, expected, count
):
    signatures = tf.saved_model.load(str(folder)).signatures
    given = images[:count]
    assert_predicted(
        signatures["serving_default"](image=tf.constant(given)), expected, count
    )
    floats = given.astype("float32") / 127.5 - 1
    assert_predicted(
        signatures["serve_float"](image=tf.constant(floats)), expected, count
    )
    files = tf.constant([tf.io.encode_png(each).numpy() for each in given])
    assert_predicted(
        signatures["serve_bytes"](image_bytes=files), expected, count
    )


def test_images_of_any_size_are_scaled(folder, model):
    rng = np.random.default_rng(1)
    large = rng.integers(0, 256, (70, 50, 3)).astype("uint8")
    small = tf.image.resize(large[None], (32, 32), antialias=True)
    expected = model.predict(np.round(small) / 127.5 - 1, verbose=0)
    signatures = tf.saved_model.load(str(folder)).signatures
    assert_predicted(
        signatures["serving_default"](image=tf.constant(large[None])), expected
    )
    # Files of different sizes and formats in one batch; grey becomes RGB.
    gray = np.full((40, 90, 1), 255, "uint8")
    files = [
        tf.io.encode_png(large).numpy(),
        tf.io.encode_jpeg(gray, quality=100).numpy(),
    ]
    outputs = signatures["serve_bytes"](image_bytes=tf.constant(files))
    white = model.predict(np.ones((1, 32, 32, 3), "float32"), verbose=0)
    for name, values in outputs.items():
        np.testing.assert_allclose(values[0], expected[name][0], atol=1e-4)
        np.testing.assert_allclose(values[1], white[name][0], atol=1e-3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize("side", [32, 64, 130, 300])
def test_files_are_served_as_training_reads_them(folder, model, kind, side):
    # Noise, of which every other way to scale makes something else.
    rng = np.random.default_rng(side)
    pixels = rng.integers(0, 256, (side, side + 7, 3)).astype("uint8")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    file = tf.constant(buffer.getvalue())
    read = decode_image(file, (32, 32, 3)).numpy()
    expected = model.predict(read[None] / 127.5 - 1, verbose=0)
    serve = tf.saved_model.load(str(folder)).signatures["serve_bytes"]
    assert_predicted(serve(image_bytes=file[None]), expected)


def test_photographs_are_served_as_a_predictor_reads_them(folder, tmp_path):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (40, 36, 4), "uint8"))
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(tmp_path / "on_white.png")
    picture.convert("RGB").save(tmp_path / "turned.jpg", exif=turned)
    paths = [tmp_path / "on_white.png", tmp_path / "turned.jpg"]
    predictor = Predictor(folder)
    expected = [row["expression_happy"] for row in predictor.rows(paths)]
    serve = tf.saved_model.load(str(folder)).signatures["serve_bytes"]
    files = tf.constant([path.read_bytes() for path in paths])
    found = serve(image_bytes=files)["expression"][:, 1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_holds_the_encoder_alone_and_names_its_classes(folder, model):
    served = tf.saved_model.load(str(folder))
    weights = sum(int(np.prod(each.shape)) for each in served.variables)
    assert weights == model.encoder.count_params()
    # Each of them once.
    (data,) = (folder / "variables").glob("variables.data-*")
    assert data.stat().st_size < 4 * weights + 8000
    names = json.loads((folder / "assets.extra" / "tasks.json").read_text())
    assert names == {
        "expression": {"classes": ["neutral", "happy", "sad"]},
        "affect": {"dimensions": ["valence", "arousal"]},
    }


def test_images_of_other_channels_are_refused(folder):
    signatures = tf.saved_model.load(str(folder)).signatures
    for name, dtype in (
        ("serving_default", "uint8"),
        ("serve_float", "float32"),
    ):
        for channels in (1, 6):
            image = tf.zeros((1, 32, 32, channels), dtype)
            with pytest.raises(tf.errors.InvalidArgumentError, match="3"):
                signatures[name](image=image)


@pytest.mark.slow
@pytest.mark.parametrize(
    "signature",
    # The first is a part of the other's graph.
    ["serving_default", pytest.param("serve_bytes", marks=pytest.mark.smoke)],
)
def test_saved_model_cli_runs_the_signatures(
    folder, images, expected, signature, tmp_path
):
    name, given = "image", images[:2]
    if signature == "serve_bytes":
        name = "image_bytes"
        given = np.array([tf.io.encode_png(each).numpy() for each in given])
    np.save(tmp_path / "inputs.npy", given)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "tensorflow.python.tools.saved_model_cli",
            *f"run --dir {folder} --tag_set serve --signature_def".split(),
            *f"{signature} --outdir {tmp_path} --inputs".split(),
            f"{name}={tmp_path / 'inputs.npy'}",
        ],
        check=True,
        capture_output=True,
    )
    outputs = {each: np.load(tmp_path / f"{each}.npy") for each in expected}
    assert_predicted(outputs, expected, 2)


# === ONNX and LiteRT ===


def run_onnx(path, images):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path)
    names = [each.name for each in session.get_outputs()]
    outputs = session.run(names, {"image": images})
    return dict(zip(names, outputs, strict=True))


@pytest.mark.slow
@pytest.mark.smoke
def test_onnx_gives_what_the_model_predicts(converted, images, expected):
    assert_predicted(run_onnx(converted / "model.onnx", images), expected)


def run_litert(path, images):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    runner = interpreter.Interpreter(str(path)).get_signature_runner()
    outputs = [runner(image=image[None]) for image in images]
    return {
        name: np.concatenate([each[name] for each in outputs])
        for name in outputs[0]
    }


@pytest.mark.slow
@pytest.mark.smoke
def test_litert_gives_what_the_model_predicts(converted, images, expected):
    assert_predicted(run_litert(converted / "model.tflite", images), expected)


@pytest.mark.slow
@pytest.mark.smoke
def test_litert_int8_agrees_and_is_small(converted, images, expected):
    path = converted / "model_int8.tflite"
    predicted = run_litert(path, images)["expression"].argmax(axis=1)
    agreement = predicted == expected["expression"].argmax(axis=1)
    assert agreement.mean() >= 0.97
    size = (converted / "model.tflite").stat().st_size
    assert path.stat().st_size < size / 2


# === Model card ===


def test_model_card_says_what_is_known(folder):
    text = (folder / "MODEL_CARD.md").read_text()
    assert text.startswith("# Two drawn faces\n")
    for line in (
        "- `expression`: probabilities of neutral, happy, sad; learned from 2 "
        "annotator(s)",
        "- expression annotator 1: 25.0 % wrong, 0.0 % missing (n = 64)",
        "| accuracy | 0.5123 |",
        "Selection: Not stated.",
        "- What a face shows is not what a person feels.",
    ):
        assert line in text


def test_model_card_names_the_limits_of_what_is_shown(model, tmp_path):
    """Of faces, of other things, and of what nobody knows."""
    objects, faces = "- Pictures unlike those", "- It must not be used to judge"
    for given, expected in ((True, [faces]), (False, [objects]), (None, None)):
        card = dataclasses.replace(CARD, faces=given)
        write_model_card(model, card, tmp_path / "card.md")
        text = (tmp_path / "card.md").read_text()
        there = [each for each in (objects, faces) if each in text]
        assert there == (expected or [objects, faces])
        assert ("If the pictures show faces:" in text) == (given is None)
        assert "- The labels that it learned from were noisy." in text


# === The decoder ===


def test_decoder_depends_on_labels_and_seed_alone(model, tmp_path):
    export_decoder(model, tmp_path / "decoder" / "1")
    served = tf.saved_model.load(str(tmp_path / "decoder" / "1"))
    labels = {
        "expression": tf.constant([0, 2]),
        "affect": tf.constant([[0.1, -0.2], [1.0, 0.0]]),
    }

    def generate(seed):
        outputs = served.signatures["serving_default"](
            seed=tf.constant(seed), **labels
        )
        return outputs["image"].numpy()

    images = generate(1)
    assert images.shape == (2, 32, 32, 3) and images.dtype == "uint8"
    np.testing.assert_array_equal(images, generate(1))
    assert (images != generate(2)).any()
    # What the model's own decoder makes of the same code and labels.
    code = tf.random.stateless_normal(
        (2, model.encoder.noise_code_size), (1, 0)
    )
    encoded = {
        task.name: tf.repeat(
            task.encode(task.standardize(labels[task.name])), task.annotators, 1
        )
        for task in TASKS
    }
    floats = np.array(model.decoder({"noise_code": code, "labels": encoded}))
    np.testing.assert_allclose(images / 127.5 - 1, floats, atol=1 / 127.5)


def test_onnx_refuses_what_it_cannot_hold(tmp_path):
    """Keras writes a file that wants the mean and variance for inputs."""
    pytest.importorskip("tf2onnx")
    rescaling = keras.layers.Normalization(axis=None)
    inputs = keras.Input((32, 32, 3))
    backbone = keras.Model(inputs, rescaling(inputs))
    rescaling.adapt(np.ones((2, 32, 32, 3), "float32"))
    encoder = Encoder(TASKS, (32, 32, 3), width=1 / 32, backbone=backbone)
    with pytest.raises(ValueError, match="`formats` .* 'onnx' .*Rescaling"):
        export(MultiTaskModel(encoder), tmp_path / "1", formats=("onnx",))
    assert not (tmp_path / "1").exists()


@pytest.mark.parametrize("name", ["onnx", "litert"])
@pytest.mark.slow
@pytest.mark.smoke
def test_files_of_a_bfloat16_model_run(images, tmp_path, name):
    policy = "mixed_bfloat16"
    inputs = keras.Input((32, 32, 3))
    layer = keras.layers.Conv2D(8, 3, strides=4, dtype=policy)
    backbone = keras.Model(inputs, layer(inputs))
    encoder = Encoder(
        TASKS, (32, 32, 3), width=1 / 16, dtype=policy, backbone=backbone
    )
    model = MultiTaskModel(encoder)
    assert model.dtype_policy.name == policy
    export(model, tmp_path / "1", formats=(name,))
    if name == "onnx":
        outputs = run_onnx(tmp_path / "1" / "model.onnx", images)
    else:
        outputs = run_litert(tmp_path / "1" / "model.tflite", images)
    expected = model.predict(images.astype("float32") / 127.5 - 1, verbose=0)
    for task in TASKS:
        # To bfloat16's eight bits.
        np.testing.assert_allclose(
            outputs[task.name], expected[task.name], atol=0.02
        )
