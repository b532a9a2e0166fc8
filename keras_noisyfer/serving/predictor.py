"""Predictions for image files by an exported model."""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_noisyfer.arguments import check_number, describe, one_line
from keras_noisyfer.datasets.image_files import (
    UnusableImage,
    read_rgb,
)
from keras_noisyfer.files import read_json
from keras_noisyfer.serving.photographs import SIDES, check_boxes, crop_face
from keras_noisyfer.serving.signatures import TASKS_FILE
from keras_noisyfer.typing import ArrayLike, PathLike

if TYPE_CHECKING:
    from PIL import Image

PATHS = (str, os.PathLike)


class Predictor:
    """An exported model, loaded to predict.

    A SavedModel is a program, which may read and write files: load only
    those of people you trust. Images may come from anyone.

    Args:
        path: Folder that `export` has written with the format
            `"saved_model"`, or the one above it, of which the highest version
            is taken, as TensorFlow Serving does.

    Attributes:
        path: The folder of the version.
        tasks: Dict by task name of `{"classes": [...]}` or
            `{"dimensions": [...]}`.

    Raises:
        ValueError: if there is no exported model, or none that can be read.

    Example:

    >>> predictor = Predictor("saved_models/quickstart")
    >>> for row in predictor.rows(["face.jpg"]):
    ...     print(row["expression"], row["affect_valence"])
    """

    def __init__(self, path: PathLike):
        self.path = _version_folder(path)
        self.tasks = read_tasks(self.path / TASKS_FILE)
        self._model = load_saved_model(self.path)
        self._predict = self._model.signatures.get("serve_bytes")
        outputs = getattr(self._predict, "structured_outputs", {})
        if {
            name: (None, len(*names.values()))
            for name, names in self.tasks.items()
        } != {name: tuple(each.shape) for name, each in outputs.items()}:
            raise ValueError(
                f"{self.path} must have the signature 'serve_bytes' with an "
                f"output for each of the tasks {', '.join(self.tasks)}. "
                f"Received: {', '.join(self._model.signatures)}"
            )

    def predict(self, images: Sequence[Image.Image]) -> dict[str, np.ndarray]:
        """Predicts for images.

        Args:
            images: Sequence of `PIL.Image.Image` of mode RGB or L, of any
                sizes.

        Returns:
            Dict by task name: class probabilities of shape
            `(n, num_classes)`, or values of shape `(n, dimensions)`.

        Raises:
            ValueError: if there is none, or one is of another mode, such as
                RGBA, of which there are several RGB copies; `rows` reads those.
        """
        files = []
        if not isinstance(images, (list, tuple)) or not images:
            raise ValueError(
                "`images` must be a list of images, at least one. "
                f"Received: {describe(images)}"
            )
        for image in images:
            mode = getattr(image, "mode", describe(image))
            if mode not in ("RGB", "L") or 0 in image.size:
                raise ValueError(
                    "`images` must be PIL images of mode RGB or L. "
                    f"Received: {mode}, {getattr(image, 'size', '')}"
                )
            file = io.BytesIO()
            # Lossless; what it would take to compress is lost time.
            image.save(file, "PNG", compress_level=0)
            files.append(file.getvalue())
        outputs = self._predict(image_bytes=tf.constant(files, tf.string))
        return {name: np.array(values) for name, values in outputs.items()}

    def rows(
        self,
        paths: Iterable[PathLike],
        batch_size: int = 64,
        find_faces: Callable[[Image.Image], ArrayLike] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Predicts for image files, one after another.

        Whatever has a right 8-bit RGB copy is read: rotated, transparent or
        gray images as a viewer shows them.

        Args:
            paths: Iterable of paths.
            batch_size: Number of images predicted at once.
            find_faces: Optional function of a `PIL.Image.Image` of mode RGB
                that returns the boxes of its faces, of shape `(faces, 4)`:
                left, top, right and bottom in pixels. `photographs.find_faces`
                is one. What is predicted for are then the faces.

        Yields:
            A flat dict a file, or a face, in order: `"image"`; with
            `find_faces` the box as `"left"`, `"top"`, `"right"` and
            `"bottom"`; for each categorical task its most probable class by
            the task's name, and the probability of each class as
            `"<task>_<class>"`; for each continuous one the values as
            `"<task>_<dimension>"`. For a file that cannot be read or has no
            face, `"image"` and `"error"` alone.

        Raises:
            ValueError: if an argument is something else, or `find_faces`
                returns other than boxes.
        """
        check_number("batch_size", batch_size, minimum=1, integer=True)
        if find_faces is not None and not callable(find_faces):
            raise ValueError(
                f"`find_faces` must be a function. Received: {find_faces!r}"
            )
        if isinstance(paths, str | os.PathLike) or not isinstance(
            paths, Iterable
        ):
            raise ValueError(
                f"`paths` must be a list of paths. Received: {paths!r}"
            )
        batch: list[Any] = []
        for path in paths:
            if not isinstance(path, str | os.PathLike):
                raise ValueError(
                    f"`paths` must be a list of paths. Received: {path!r}"
                )
            path = os.fspath(path)
            for each in _read(path, find_faces):
                batch.append(each)
                if len(batch) == batch_size:
                    yield from self._batch_rows(batch)
                    batch = []
        yield from self._batch_rows(batch)

    def _batch_rows(self, batch):
        images = [image for image, _ in batch if image is not None]
        outputs = self.predict(images) if images else {}
        index = 0
        for image, row in batch:
            if image is not None:
                values = {name: each[index] for name, each in outputs.items()}
                row |= self._row(values)
                index += 1
            yield row

    def _row(self, outputs):
        row = {}
        for task, names in self.tasks.items():
            values = [float(each) for each in outputs[task]]
            if "classes" in names:
                row[task] = names["classes"][int(np.argmax(values))]
            row.update(
                {
                    f"{task}_{name}": value
                    for name, value in zip(
                        names.get("classes", names.get("dimensions")),
                        values,
                        strict=True,
                    )
                }
            )
        return row


def _read(path, find_faces):
    """What is predicted for in a file, and what is known of it: images with
    the first entries of their rows, or None with a row that tells why."""
    try:
        image = read_rgb(path, convert=True)
    except UnusableImage as error:
        reason = f"{error.problem}: {error.detail}"
        return [(None, {"image": path, "error": reason})]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        return [(None, {"image": path, "error": reason})]
    if find_faces is None:
        return [(image, {"image": path})]
    boxes = check_boxes("find_faces", find_faces(image), image).tolist()
    if not boxes:
        return [(None, {"image": path, "error": "no face was found"})]
    return [
        (
            crop_face(image, box),
            {"image": path, **dict(zip(SIDES, box, strict=True))},
        )
        for box in boxes
    ]


def newest_version(path: PathLike) -> pathlib.Path:
    """The folder of a model's highest version, or the folder itself."""
    path = pathlib.Path(path)
    versions = []
    if path.is_dir():
        versions = [each for each in path.iterdir() if each.name.isdecimal()]
    return max(versions, key=lambda each: int(each.name), default=path)


def load_saved_model(path: PathLike) -> Any:
    """Loads a SavedModel.

    Raises:
        ValueError: if there is none that can be read.
    """
    try:
        return tf.saved_model.load(str(path))
    # What describes a graph wrongly can lead to any error at all.
    except Exception as error:
        raise ValueError(
            f"{path} must be the folder of a SavedModel. "
            f"Received: {one_line(error) or type(error).__name__}"
        ) from error


def read_tasks(path: PathLike) -> dict[str, dict[str, list[str]]]:
    """What `export` tells of the tasks, see `Predictor.tasks`."""
    tasks = read_json(path)
    if not isinstance(tasks, dict) or not all(map(_is_task, tasks.values())):
        raise ValueError(
            f"{path} must name the classes or dimensions of each task. "
            f"Received: {one_line(tasks, limit=100)}"
        )
    return tasks


def _is_task(names):
    return (
        isinstance(names, dict)
        and (names.keys() == {"classes"} or names.keys() == {"dimensions"})
        and all(
            isinstance(each, list) and all(isinstance(n, str) for n in each)
            for each in names.values()
        )
    )


def _version_folder(path):
    folder = newest_version(path) if isinstance(path, PATHS) else None
    if (
        folder is None
        or not (folder / "saved_model.pb").is_file()
        or not (folder / TASKS_FILE).is_file()
    ):
        raise ValueError(
            "`path` must be a folder that `export` has written with the "
            f"format 'saved_model'. Received: {path}"
        )
    return folder
