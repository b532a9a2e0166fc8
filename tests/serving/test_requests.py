"""What a client sends to TensorFlow Serving, and what it gets back.

No server runs here: the requests are parsed as it parses them, run through
the signature that they name, and the answers are made as it makes them.
"""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_noisyfer import (
    CategoricalTask,
    ContinuousTask,
    Encoder,
    MultiTaskModel,
    export,
)
from keras_noisyfer.serving.predictor import Predictor

TASKS = [
    CategoricalTask("expression", class_names=("neutral", "happy", "sad")),
    ContinuousTask("affect", ("valence", "arousal")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved_models") / "faces"
    for version in (2, 10):
        model = MultiTaskModel(Encoder(TASKS, (32, 32, 3), width=1 / 16))
        export(model, path / str(version))
    return path


@pytest.fixture(scope="module")
def served(folder):
    return tf.saved_model.load(str(folder / "10"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Three image files that are read, and two that are not."""
    path = tmp_path_factory.mktemp("faces")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 4), "uint8")
    Image.fromarray(pixels[..., :3]).save(path / "a.png")
    Image.fromarray(pixels[..., 0]).save(path / "b.jpg")
    Image.fromarray(pixels, "RGBA").save(path / "c.png")
    (path / "d.jpg").write_text("no image")
    (path / "e.png").write_bytes((path / "a.png").read_bytes()[:500])
    return path


# === TensorFlow Serving ===


def test_rest_request_with_image_bytes(served, faces):
    files = [(faces / name).read_bytes() for name in ("a.png", "b.jpg")]
    body = json.dumps(
        {
            "signature_name": "serve_bytes",
            "instances": [
                {"image_bytes": {"b64": base64.b64encode(each).decode()}}
                for each in files
            ],
        }
    )
    request = json.loads(body)
    given = [
        base64.b64decode(each["image_bytes"]["b64"])
        for each in request["instances"]
    ]
    outputs = served.signatures[request["signature_name"]](
        image_bytes=tf.constant(given)
    )
    # In row format the server gives one object an instance.
    answer = json.loads(
        json.dumps(
            {
                "predictions": [
                    {name: values[i].numpy().tolist()}
                    | {"affect": outputs["affect"][i].numpy().tolist()}
                    for i in range(len(given))
                    for name, values in [("expression", outputs["expression"])]
                ]
            }
        )
    )
    assert len(answer["predictions"]) == 2
    for each in answer["predictions"]:
        assert set(each) == {"expression", "affect"}
        assert sum(each["expression"]) == pytest.approx(1, abs=1e-5)
        assert len(each["affect"]) == 2


def test_grpc_request(served):
    apis = pytest.importorskip("tensorflow_serving.apis")
    from tensorflow_serving.apis import predict_pb2

    assert apis
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "faces"
    request.model_spec.signature_name = "serving_default"
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(images))
    received = predict_pb2.PredictRequest.FromString(
        request.SerializeToString()
    )
    function = served.signatures[received.model_spec.signature_name]
    outputs = function(
        **{
            name: tf.constant(tf.make_ndarray(each))
            for name, each in received.inputs.items()
        }
    )
    response = predict_pb2.PredictResponse()
    for name, values in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(values.numpy()))
    answer = predict_pb2.PredictResponse.FromString(
        response.SerializeToString()
    )
    expression = tf.make_ndarray(answer.outputs["expression"])
    assert expression.shape == (2, 3)
    np.testing.assert_allclose(expression.sum(axis=1), 1, rtol=1e-5)


# === Predictor and noisyfer predict ===


def test_predictor_takes_the_highest_version(folder):
    predictor = Predictor(folder)
    assert predictor.path.name == "10"
    assert Predictor(folder / "2").path.name == "2"
    assert predictor.tasks["affect"] == {"dimensions": ["valence", "arousal"]}
    with pytest.raises(ValueError, match="`path` must be a folder.*nowhere$"):
        Predictor(folder / "nowhere")
    array = np.zeros((4, 4, 3), "uint8")
    for images in ([], array, [array]):
        with pytest.raises(ValueError, match="^`images` must be"):
            predictor.predict(images)
    with pytest.raises(ValueError, match="`paths` must be a list of paths"):
        list(predictor.rows([array]))


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_rows_keep_the_order_and_name_what_is_not_read(
    folder, faces, served, batch_size
):
    names = ("a.png", "d.jpg", "b.jpg", "e.png", "c.png", "missing.png")
    paths = [str(faces / name) for name in names]
    rows = list(Predictor(folder).rows(paths, batch_size))
    assert [row["image"] for row in rows] == paths
    errors = [row.get("error", "").split(":")[0] for row in rows]
    assert errors == [
        "",
        "not an image",
        "",
        "truncated or damaged image",
        "",
        "No such file or directory",
    ]
    expected = served.signatures["serve_bytes"](
        image_bytes=tf.constant([(faces / "a.png").read_bytes()])
    )
    probabilities = [
        rows[0][f"expression_{name}"] for name in ("neutral", "happy", "sad")
    ]
    np.testing.assert_allclose(
        probabilities, expected["expression"][0], atol=1e-5
    )
    best = ("neutral", "happy", "sad")[int(np.argmax(probabilities))]
    assert rows[0]["expression"] == best
    np.testing.assert_allclose(
        [rows[0]["affect_valence"], rows[0]["affect_arousal"]],
        expected["affect"][0],
        atol=1e-5,
    )
