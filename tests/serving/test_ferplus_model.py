"""The model for real faces that comes with the library."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from common import RECIPES
from PIL import Image

from keras_noisyfer.serving.predictor import Predictor

FOLDER = RECIPES.parent / "saved_models" / "ferplus" / "1"


def size(*patterns):
    files = [each for p in patterns for each in FOLDER.rglob(p)]
    return sum(each.stat().st_size for each in files)


def test_it_is_small_and_says_what_it_is():
    assert size("saved_model.pb", "variables.*") <= 4_000_000
    assert 0 < size("model_int8.tflite") <= 1_000_000
    card = pathlib.Path(FOLDER, "MODEL_CARD.md").read_text()
    for text in (
        "expected calibration error",
        "recall of fear",
        "research use",
    ):
        assert text in card
    predictor = Predictor(FOLDER)
    assert len(predictor.tasks["expression"]["classes"]) == 7
    assert predictor.tasks["affect"]["dimensions"] == ["valence", "arousal"]


def test_pictures_of_several_rgb_copies_are_refused():
    predictor = Predictor(FOLDER)
    gray = Image.fromarray(
        np.arange(60 * 60, dtype="uint16").astype("uint8").reshape(60, 60)
    )
    both = predictor.predict([gray, gray.convert("RGB")])["expression"]
    np.testing.assert_allclose(both[0], both[1], atol=1e-4)
    with pytest.raises(ValueError, match="`images` must be .*Received: RGBA"):
        predictor.predict([gray.convert("RGBA")])


@pytest.mark.slow
@pytest.mark.smoke
def test_its_three_formats_agree():
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    onnxruntime = pytest.importorskip("onnxruntime")
    # Smooth, as photographs are, and unlike each other.
    pixels = tf.image.resize(
        np.random.default_rng(0).integers(0, 256, (8, 6, 6, 1)),
        (48, 48),
        "area",
    )
    pixels = tf.cast(tf.clip_by_value(pixels, 0, 255), tf.uint8).numpy()
    served = tf.saved_model.load(str(FOLDER)).signatures["serving_default"]
    expected = served(image=tf.constant(pixels))["expression"].numpy()
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-5)

    session = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"))
    (given,) = session.get_inputs()
    outputs = session.run(["expression"], {given.name: pixels})
    np.testing.assert_allclose(outputs[0], expected, atol=1e-4)

    lite = interpreter.Interpreter(str(FOLDER / "model_int8.tflite"))
    runner = lite.get_signature_runner()
    (name,) = runner.get_input_details()
    rounded = np.concatenate(
        [runner(**{name: each[None]})["expression"] for each in pixels]
    )
    assert np.abs(rounded - expected).mean() < 0.03
