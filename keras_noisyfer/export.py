"""Export of the predictor for serving."""

import os
import pathlib
import shutil
import tempfile

import keras
import tensorflow as tf

from keras_noisyfer.models import MultiTaskClassifier


def export_saved_model(model, path, overwrite=False):
    """Writes the encoder with its preprocessing as a TensorFlow SavedModel.

    The signature `serving_default` takes `image`: uint8, shape
    `(batch_size, height, width, channels)` with any batch size, height and
    width, and gives a dict by task name: class probabilities or values, as
    `model.predict` does. The decoder and the discriminator stay behind.

    Args:
        model: A trained `MultiTaskClassifier`, such as a
            `JointDistributionGAN`.
        path: Folder to write, `<name>/<version>` for TF Serving. It appears
            complete or not at all.
        overwrite: Whether to replace a folder that exists.

    Raises:
        ValueError: if `model` is something else, the folder exists already
            and `overwrite` is False, or it cannot be written.

    Example:

    >>> export_saved_model(model, "saved_models/quickstart/1")
    >>> served = tf.saved_model.load("saved_models/quickstart/1")
    >>> served.signatures["serving_default"](image=images)["expression"]
    """
    if not isinstance(model, MultiTaskClassifier):
        raise ValueError(
            "`model` must be a MultiTaskClassifier, such as a "
            f"JointDistributionGAN. Received: {type(model).__name__}"
        )
    path = pathlib.Path(path)
    if path.exists() and not overwrite:
        raise ValueError(
            "`path` must not exist yet, or `overwrite` be True. "
            f"Received: {path}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        parent = tempfile.mkdtemp(prefix=".export-", dir=path.parent)
    except OSError as error:
        raise ValueError(
            f"`path` must be in a folder that can be written ({error}). "
            f"Received: {path}"
        ) from error

    height, width, channels = model.encoder.image_shape

    def serve(image):
        image = tf.image.resize(
            tf.cast(image, tf.float32), (height, width), antialias=True
        )
        outputs = model.predictor(image / 127.5 - 1.0, training=False)
        return model.predict_consensus(outputs["labels"])

    try:
        archive = keras.export.ExportArchive()
        archive.track(model.predictor)
        archive.add_endpoint(
            "serving_default",
            serve,
            input_signature=[
                tf.TensorSpec(
                    (None, None, None, channels), tf.uint8, name="image"
                )
            ],
        )
        archive.write_out(os.path.join(parent, "model"), verbose=False)
        if path.exists():
            os.replace(path, os.path.join(parent, "replaced"))
        os.replace(os.path.join(parent, "model"), path)
    finally:
        shutil.rmtree(parent, ignore_errors=True)
