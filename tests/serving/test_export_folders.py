"""What export refuses, and that it leaves nothing half-written."""

import json
import os
import sys

import pytest
import tensorflow as tf

from keras_noisyfer import (
    CategoricalTask,
    ContinuousTask,
    Encoder,
    JointDistributionGAN,
    export,
    export_decoder,
)
from keras_noisyfer.serving import ModelCard
from keras_noisyfer.serving.signatures import TASKS_FILE

TASKS = [
    CategoricalTask("expression", num_classes=3, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]


@pytest.fixture(scope="module")
def model():
    return JointDistributionGAN(Encoder(TASKS, (32, 32, 3), width=1 / 16))


def test_rejects_arguments(model, tmp_path):
    def fails(message, *args, function=export, **kwargs):
        with pytest.raises(ValueError, match=message):
            function(*args, **kwargs)

    path = tmp_path / "1"
    fails("`model` must be a MultiTaskModel", model.encoder, path)
    fails("`formats` must be .*'saved_model'$", model, path, "saved_model")
    fails("`formats` must be a list", model, path, formats=("tflite",))
    fails("`formats` must be a list.*: 5$", model, path, formats=5)
    fails("`formats` must be a list", model, path, formats=[["onnx"]])
    fails("`path` must be a path. Received: None", model, None)
    fails("`overwrite` must be True or False", model, path, overwrite="no")
    fails("`metrics` must be a dict", metrics=[1], function=ModelCard)
    fails("`calibration` is for the format", model, path, calibration=1)
    fails("`path` must be a folder, .*x.onnx", model, tmp_path / "x.onnx")
    fails("`card` must be a ModelCard. .*str", model, path, card="# Card")
    fails(
        "`calibration` must be a tf.data.Dataset.*NoneType",
        model,
        path,
        formats=("litert_int8",),
    )
    for shape, count, received in (
        ((32, 32, 3), 0, "an empty data set"),
        ((16, 16, 3), 1, r"images of shape \(16, 16, 3\)"),
    ):
        batches = tf.data.Dataset.from_tensors((tf.zeros((2, *shape)), 0))
        fails(
            f"`calibration` must be.*Received: {received}",
            model,
            path,
            formats=("litert_int8",),
            calibration=batches.take(count),
        )
    batches = tf.data.Dataset.from_tensors((tf.fill((2, 32, 32, 3), 9.0), 0))
    fails(
        "`calibration` must have images in .*Received: values from 9 to 9",
        model,
        path,
        formats=("litert_int8",),
        calibration=batches,
    )
    fails(
        "`model` must be a JointDistributionGAN with a decoder",
        JointDistributionGAN(model.encoder, use_decoder=False),
        path,
        function=export_decoder,
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.smoke
def test_overwrites_nothing_and_leaves_nothing_half_written(model, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_text("")
    (tmp_path / "1" / "old").write_text("")
    with pytest.raises(ValueError, match="`path` must not exist yet"):
        export(model, tmp_path / "1")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="`path` must be in a folder"):
        export(model, tmp_path / "file" / "1")

    def fail(*args, **kwargs):
        raise OSError("full")

    with pytest.MonkeyPatch.context() as patch:
        module = sys.modules["keras_noisyfer.serving.export"]
        patch.setattr(module, "write_model_card", fail)
        with pytest.raises(OSError, match="full"):
            export(model, tmp_path / "2")
        with pytest.raises(OSError, match="full"):
            export(model, tmp_path / "1", overwrite=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1", "file"]
    assert (tmp_path / "1" / "old").exists()
    export(model, tmp_path / "1", overwrite=True)
    assert not (tmp_path / "1" / "old").exists()
    assert (tmp_path / "1" / "saved_model.pb").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1", "file"]


def test_overwrites_what_an_export_has_written_alone(model, tmp_path):
    """Not all versions of a model, where the version was forgotten, and not
    what somebody keeps in a folder or a file."""
    (tmp_path / "model" / "1").mkdir(parents=True)
    (tmp_path / "model" / "1" / "saved_model.pb").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("model", "file", "link"):
        for function in (export, export_decoder):
            with pytest.raises(ValueError, match="`overwrite` replaces only"):
                function(model, tmp_path / name, overwrite=True)
    assert (tmp_path / "model" / "1" / "saved_model.pb").exists()
    export(model, tmp_path / "onnx", formats=("onnx",))
    export(model, tmp_path / "onnx", formats=("onnx",), overwrite=True)
    names = json.loads((tmp_path / "onnx" / TASKS_FILE).read_text())
    assert list(names) == [task.name for task in TASKS]


def test_keeps_the_old_folder_where_the_new_cannot_take_its_place(
    model, tmp_path
):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_text("")
    (tmp_path / "1" / "old").write_text("")
    replace = os.replace

    def fail_for_new(source, target):
        if str(source).endswith("new"):
            raise OSError("full")
        replace(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.replace", fail_for_new)
        with pytest.raises(OSError, match="full"):
            export_decoder(model, tmp_path / "1", overwrite=True)
    assert (tmp_path / "1" / "old").exists()
