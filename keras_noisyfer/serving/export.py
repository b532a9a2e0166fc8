"""Export of the predictor and of the decoder, each as a version folder."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

from keras_noisyfer.distribution import require_tensorflow
from keras_noisyfer.models import JointDistributionGAN, MultiTaskModel
from keras_noisyfer.serving.model_card import ModelCard, write_model_card
from keras_noisyfer.serving.portable import (
    calibration_images,
    require_converters,
    write_litert,
    write_onnx,
)
from keras_noisyfer.serving.signatures import (
    TASKS_FILE,
    write_decoder_signatures,
    write_predictor_signatures,
    write_tasks,
)
from keras_noisyfer.typing import PathLike
from keras_noisyfer.value_checks import unchecked_images

FORMATS = ("saved_model", "onnx", "litert", "litert_int8")
# Of the files that the formats are.
FILE_ENDINGS = (".onnx", ".tflite", ".keras", ".h5", ".pb")
# One of these is in each folder that was written.
_WRITTEN = ("saved_model.pb", TASKS_FILE)


def export(
    model: MultiTaskModel,
    path: PathLike,
    formats: Sequence[str] = ("saved_model",),
    card: ModelCard | None = None,
    calibration: Any = None,
    overwrite: bool = False,
) -> None:
    """Writes the encoder with its preprocessing as a folder to serve.

    Every format takes pixels from 0 to 255 and gives a dict by task name, as
    `model.predict` does: class probabilities, or values in [-1, 1]. The
    decoder and the discriminator stay behind.

    | format | file | images |
    |---|---|---|
    | `"saved_model"` | `saved_model.pb` and folders | any size; scaled |
    | `"onnx"` | `model.onnx` | uint8, of the encoder's size |
    | `"litert"` | `model.tflite` | likewise |
    | `"litert_int8"` | `model_int8.tflite` | likewise |

    The SavedModel's signatures: `serving_default` takes `image`, uint8 of
    shape `(batch_size, height, width, channels)`; `serve_float` the same as
    float32 in [-1, 1]; `serve_bytes` takes `image_bytes`, JPEG or PNG files of
    shape `(batch_size,)`, and turns them upright by their EXIF data and puts
    them on white, as a viewer shows them. `assets.extra/tasks.json` names the
    classes and the dimensions. `MODEL_CARD.md` says what the model is and what
    it is not for.

    Args:
        model: A trained `MultiTaskModel`, such as a
            `JointDistributionGAN`.
        path: Folder to write, for TensorFlow Serving `<name>/<version>`, the
            version a number. It appears complete or not at all.
        formats: Sequence of the formats above. All but the first need the
            extra `export`.
        card: A `ModelCard` with what the model itself does not know.
        calibration: For `"litert_int8"`: a `tf.data.Dataset` of batches as
            `fit` takes them. The ranges of the activations are those that
            its first images, at most 256, lead to.
        overwrite: Whether to replace a folder that an export has written.

    Raises:
        ValueError: if an argument is something else, the folder exists
            already and `overwrite` is False, or it cannot be written.
        ImportError: if what a format needs is not installed.
        RuntimeError: on other backends than TensorFlow.

    Example:

    >>> export(model, "saved_models/faces/1", formats=("saved_model", "onnx"))
    >>> served = tf.saved_model.load("saved_models/faces/1")
    >>> served.signatures["serving_default"](image=images)["expression"]
    """
    require_tensorflow("`export`")
    if not isinstance(model, MultiTaskModel):
        raise ValueError(
            "`model` must be a MultiTaskModel, such as a "
            f"JointDistributionGAN. Received: {type(model).__name__}"
        )
    if (
        not isinstance(formats, (list, tuple, set))
        or not formats
        or not all(each in FORMATS for each in formats)
    ):
        raise ValueError(
            "`formats` must be a list or tuple of one or more of "
            f"{', '.join(FORMATS)}. Received: {formats!r}"
        )
    if not isinstance(card, (ModelCard, type(None))):
        raise ValueError(
            f"`card` must be a ModelCard. Received: {type(card).__name__}"
        )
    require_converters(formats)
    images = None
    if "litert_int8" in formats:
        images = calibration_images(calibration, model.encoder.image_shape)
    elif calibration is not None:
        raise ValueError(
            "`calibration` is for the format 'litert_int8'. "
            f"Received: it with formats={formats!r}"
        )
    with _new_folder(path, overwrite) as folder, unchecked_images():
        # First, as it needs an empty folder.
        if "saved_model" in formats:
            write_predictor_signatures(model, folder)
        if "onnx" in formats:
            write_onnx(model, folder / "model.onnx")
        if "litert" in formats:
            write_litert(model, folder / "model.tflite")
        if "litert_int8" in formats:
            write_litert(model, folder / "model_int8.tflite", images)
        write_tasks(model, folder)
        write_model_card(model, card or ModelCard(), folder / "MODEL_CARD.md")


def export_decoder(
    model: JointDistributionGAN, path: PathLike, overwrite: bool = False
) -> None:
    """Writes the decoder as a TensorFlow SavedModel that makes images.

    The signature `serving_default` takes one label a task and image, by task
    name (int32 class ids of shape `(batch_size,)`, float32 values of shape
    `(batch_size, dimensions)`), and `seed`, an int32 scalar. It gives `image`,
    uint8 of shape `(batch_size, size, size, channels)`: the same for the same
    labels and seed. A label counts for all annotators of its task;
    `assets.extra/tasks.json` names the classes and the dimensions.

    Args:
        model: A trained `JointDistributionGAN` with a decoder.
        path: Folder to write; see `export`.
        overwrite: Whether to replace a folder that exists.

    Raises:
        ValueError: if `model` has no decoder, the folder exists already and
            `overwrite` is False, or it cannot be written.

    Example:

    >>> export_decoder(model, "saved_models/faces_decoder/1")
    """
    require_tensorflow("`export_decoder`")
    if not isinstance(model, JointDistributionGAN) or not model.use_decoder:
        raise ValueError(
            "`model` must be a JointDistributionGAN with a decoder. "
            f"Received: {type(model).__name__}"
        )
    with _new_folder(path, overwrite) as folder:
        write_decoder_signatures(model, folder)
        write_tasks(model, folder)


@contextlib.contextmanager
def _new_folder(path, overwrite):
    """A folder to write to, which becomes `path` when all is written."""
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"`path` must be a path. Received: {path!r}")
    if not isinstance(overwrite, bool):
        raise ValueError(
            f"`overwrite` must be True or False. Received: {overwrite!r}"
        )
    path = pathlib.Path(path)
    if path.suffix in FILE_ENDINGS:
        raise ValueError(
            "`path` must be a folder, which each format is written to. "
            f"Received: {path}"
        )
    exists = path.exists() or path.is_symlink()
    if exists and not overwrite:
        raise ValueError(
            f"`path` must not exist yet without `overwrite`. Received: {path}"
        )
    if exists and not any((path / each).is_file() for each in _WRITTEN):
        raise ValueError(
            "`overwrite` replaces only a folder that an export has written. "
            f"Received: {path}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        parent = pathlib.Path(
            tempfile.mkdtemp(prefix=".export-", dir=path.parent)
        )
    except OSError as error:
        raise ValueError(
            f"`path` must be in a folder that can be written ({error}). "
            f"Received: {path}"
        ) from error
    try:
        new, replaced = parent / "new", parent / "replaced"
        new.mkdir()
        yield new
        if path.exists():
            os.replace(path, replaced)
        try:
            os.replace(new, path)
        except OSError:
            if replaced.exists():
                os.replace(replaced, path)
            raise
    finally:
        shutil.rmtree(parent, ignore_errors=True)
