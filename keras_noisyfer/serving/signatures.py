"""The signatures of the SavedModels."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING

import tensorflow as tf
from keras import ops

from keras_noisyfer.datasets.image_files import MAX_PIXELS, pixel_count
from keras_noisyfer.serving.client_images import decode_upright
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import PathLike, Tasks

if TYPE_CHECKING:
    from keras_noisyfer.models import JointDistributionGAN, MultiTaskModel

# The folder is TensorFlow's for assets that the graph does not read.
TASKS_FILE = "assets.extra/tasks.json"


def describe_tasks(tasks: Tasks) -> dict[str, dict[str, list[str]]]:
    """Names of each task's classes or dimensions: dict by task name."""
    return {
        task.name: {
            "classes": list(task.class_names)
            if task.class_names
            else [str(each) for each in range(task.num_classes)]
        }
        if isinstance(task, CategoricalTask)
        else {"dimensions": list(task.dimensions)}
        for task in tasks
    }


def write_predictor_signatures(model: MultiTaskModel, folder: PathLike) -> None:
    """Writes the predictor; see `export`."""
    height, width, channels = model.encoder.image_shape

    def checked(image):
        # No signature is held against the shape that it is called with.
        return tf.ensure_shape(image, (None, None, None, channels))

    def scale(pixels):
        return tf.image.resize(
            tf.cast(pixels, tf.float32), (height, width), antialias=True
        )

    def scale_integers(pixels):
        # As training has read them.
        return tf.round(scale(pixels))

    def predict(pixels):
        outputs = model.predictor(pixels / 127.5 - 1.0, training=False)
        return model.predict_consensus(outputs["labels"])

    def decode(image):
        # Clients send what they like: some bytes of PNG or GIF, whose frames
        # are all unpacked, would take all memory.
        count = pixel_count(image)
        check = tf.debugging.Assert(
            (count > 0) & (count <= MAX_PIXELS),
            [
                "image_bytes must be JPEG, PNG or BMP files of at most "
                f"{MAX_PIXELS:,} pixels each. Received: pixels =",
                count,
            ],
        )
        with tf.control_dependencies([check]):
            image = tf.identity(image)
        return scale_integers(decode_upright(image, channels))

    def serve_bytes(image_bytes):
        return predict(
            tf.map_fn(
                decode,
                image_bytes,
                fn_output_signature=tf.TensorSpec(
                    (height, width, channels), tf.float32
                ),
            )
        )

    shape = (None, None, None, None)
    _write(
        folder,
        {
            "serving_default": (
                lambda image: predict(scale_integers(checked(image))),
                tf.TensorSpec(shape, tf.uint8, name="image"),
            ),
            "serve_float": (
                lambda image: predict(scale((checked(image) + 1.0) * 127.5)),
                tf.TensorSpec(shape, tf.float32, name="image"),
            ),
            "serve_bytes": (
                serve_bytes,
                tf.TensorSpec((None,), tf.string, name="image_bytes"),
            ),
        },
    )


def _write(folder, signatures):
    """Writes a SavedModel of functions of one argument, with their specs.

    Keras' `ExportArchive` writes each weight twice.
    """
    functions = {
        name: tf.function(
            function, input_signature=[spec], autograph=False
        ).get_concrete_function()
        for name, (function, spec) in signatures.items()
    }
    read = {
        variable.ref(): variable
        for function in functions.values()
        for variable in function.variables
    }
    served = tf.train.Checkpoint(variables=list(read.values()))
    tf.saved_model.save(served, str(folder), functions)


def write_tasks(model: MultiTaskModel, folder: pathlib.Path) -> None:
    """Writes the names of the tasks' classes and dimensions."""
    path = folder / TASKS_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps(describe_tasks(model.tasks), indent=1) + "\n", "utf-8"
    )


def write_decoder_signatures(
    model: JointDistributionGAN, folder: PathLike
) -> None:
    """Writes the decoder; see `export_decoder`."""
    code_size = model.encoder.noise_code_size

    def generate(inputs):
        labels = {}
        for task in model.tasks:
            given = task.encode(task.standardize(inputs[task.name]))
            labels[task.name] = ops.repeat(given, task.annotators, axis=1)
        count = tf.shape(inputs[model.tasks[0].name])[0]
        code = tf.random.stateless_normal(
            (count, code_size), tf.stack([inputs["seed"], 0])
        )
        images = model.decoder(
            {"noise_code": code, "labels": labels}, training=False
        )
        pixels = tf.round((tf.cast(images, tf.float32) + 1.0) * 127.5)
        return {"image": tf.cast(tf.clip_by_value(pixels, 0, 255), tf.uint8)}

    specs = {
        task.name: tf.TensorSpec((None,), tf.int32, name=task.name)
        if isinstance(task, CategoricalTask)
        else tf.TensorSpec((None, task.num_outputs), tf.float32, name=task.name)
        for task in model.tasks
    }
    specs["seed"] = tf.TensorSpec((), tf.int32, name="seed")
    _write(folder, {"serving_default": (generate, specs)})
