"""What the builders of data sets that cannot be downloaded have in common."""

from __future__ import annotations

import io
import multiprocessing.pool
import os
import pathlib
import tempfile
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.conversion import JPEG_QUALITY, output_path
from keras_noisyfer.datasets.faces.alignment import EYE_COLUMNS, align_faces
from keras_noisyfer.datasets.faces.expressions import AFFECT_DIMENSIONS
from keras_noisyfer.datasets.faces.label_files import BOX_COLUMNS
from keras_noisyfer.datasets.image_files import locate_image
from keras_noisyfer.datasets.image_names import ImageFolder
from keras_noisyfer.datasets.image_sources import ImageRecords
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.upright_images import UnusableImage, read_rgb
from keras_noisyfer.tasks import Task
from keras_noisyfer.typing import PathLike

if TYPE_CHECKING:
    from keras_noisyfer.datasets.faces.label_writers import LabelWriter
    from keras_noisyfer.datasets.faces.manual_config import ManualConfig

# Images that are scaled before they are written.
_WRITTEN_AT_ONCE = 1024
# The same order of examples at each reading.
_READ_CONFIG = tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1)


class ManualFaces(  # type: ignore[call-arg]
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """Builder of a data set of faces that lies in a folder of the user's."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.0.0": "First version.",
        "1.1.0": "Ids that count from another number are refused.",
    }
    # Nothing is downloaded: see `SyntheticFaces`.
    code_path = None

    def _info(self):
        config = self.builder_config
        if config is None:
            raise ValueError(
                f"`config` of {type(self).__name__} must say where the data "
                f"are. {' '.join(self.MANUAL_DOWNLOAD_INSTRUCTIONS.split())}"
            )
        size = config.image_size
        affect = tfds.features.Tensor(shape=(2,), dtype=np.float32)
        expression = tfds.features.Scalar(dtype=np.int64)
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{config.title}, prepared from {config.manual_dir}.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(size, size, 3), encoding_format="jpeg"
                    ),
                    "file_name": tfds.features.Text(),
                    "expression": expression,
                    "affect": affect,
                    "machine_expression": expression,
                    "machine_affect": affect,
                }
            ),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager):
        config = self.builder_config
        report = ImportReport(config.on_error)
        splits = config.read(report)
        for each in splits.values():
            _reject_missing_images(each, report)
        generators = {
            name: self._generate_examples(name, split, report)
            for name, split in splits.items()
        }
        # Written beside the data once every example is.
        self.info.metadata["rejected"] = report.entries
        self.info.metadata["notes"] = report.notes
        return generators

    def _generate_examples(self, name, split, report):
        config = self.builder_config
        faces = split.faces
        if config.alignment == "eyes":
            # <data_dir>/<data set>/<configuration>/<version>
            root = pathlib.Path(self.data_dir).parents[2]
            root = root / "aligned" / config.aligned_folder / name
            aligned = align_faces(
                split.image_root,
                root,
                faces.path,
                faces[EYE_COLUMNS].to_numpy().reshape(-1, 2, 2),
                on_error=config.on_error,
            )
            report.entries += aligned.entries
            left_out = {path for path, _, _ in aligned.entries}
            faces = faces[~faces.path.isin(left_out)]
            image_root, box = root, None
        else:
            image_root = split.image_root
            box = [each for each in BOX_COLUMNS if each in faces]

        def encode(row):
            path = row["path"]
            if config.alignment == "eyes":
                path = str(output_path("", path))
            crop = [row[each] for each in box] if box else None
            return encode_face(image_root, path, config.image_size, crop)

        written = 0
        with multiprocessing.pool.ThreadPool() as pool:
            for start in range(0, len(faces), _WRITTEN_AT_ONCE):
                part = faces.iloc[start : start + _WRITTEN_AT_ONCE]
                rows = part.to_dict("records")
                encoded = pool.map(encode, rows)
                for file_name, row, image in zip(
                    part.index, rows, encoded, strict=True
                ):
                    if isinstance(image, tuple):
                        report.reject(file_name, *image)
                        continue
                    written += 1
                    yield file_name, _example(file_name, row, image)
        if not written:
            first = "".join(
                f"; {e}: {p}, {d}" for e, p, d in report.entries[:1]
            )
            raise ValueError(
                f"The split {name} of {config.title} must have an image. "
                f"Received: none that can be used in {split.image_root}"
                + one_line(first)
            )


def _example(file_name, row, image):
    def affect(prefix):
        return [row.get(prefix + each, np.nan) for each in AFFECT_DIMENSIONS]

    return {
        "image": io.BytesIO(image),
        "file_name": file_name,
        "expression": row.get("expression", -1),
        "affect": np.array(affect(""), "float32"),
        "machine_expression": row.get("machine_expression", -1),
        "machine_affect": np.array(affect("machine_"), "float32"),
    }


def encode_face(
    image_root: PathLike,
    path: str,
    size: int,
    box: Sequence[float] | None = None,
) -> bytes | tuple[str, str]:
    """A face as a small JPEG image of `size` x `size` pixels.

    Of `box`, `(x, y, width, height)` in pixels, by default the whole image,
    the part that is within the image counts.

    Returns:
        The bytes, or `(problem, detail)` if there are none.
    """
    path, problem = locate_image(image_root, path)
    if problem:
        return problem
    try:
        image = read_rgb(path)
    except UnusableImage as error:
        return error.problem, error.detail
    if box is not None:
        x, y, width, height = box
        corners = np.array([x, y, x + width, y + height])
        if not np.isfinite(corners).all():
            return "no face box", ""
        corners = np.clip(np.round(corners), 0, (*image.size, *image.size))
        if (corners[2:] <= corners[:2]).any():
            return "face box outside of the image", f"{box}"
        image = image.crop(tuple(corners.astype(int).tolist()))
    # As training and the exported model scale images: with a wide filter.
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _reject_missing_images(split, report):
    """Leaves out labels without an image, before any work begins."""
    faces = split.faces
    good = np.ones(len(faces), bool)
    folder = ImageFolder(split.image_root)
    for index, path in enumerate(faces.path):
        problem = locate_image(split.image_root, path)[1]
        if problem:
            good[index] = False
            _, *problem = folder.explain(path, *problem)
            report.reject(faces.index[index], *problem)
    split.faces = faces[good]


def load_faces(
    builder_class: type[ManualFaces],
    splits: Iterable[str],
    config: ManualConfig,
    split: str,
    cache_dir: PathLike | None,
    tasks: Sequence[Task],
    machine: Sequence[str] = (),
    writer: LabelWriter | None = None,
) -> LabelledImages:
    """Prepares a data set where that is not done yet, and loads a split.

    Args:
        builder_class: Subclass of `ManualFaces`.
        splits: Names of its splits.
        config: Its configuration.
        split: Name of a split.
        cache_dir: Folder that the prepared files go to; by default that of
            TFDS.
        tasks: Sequence of tasks, with one annotator each.
        machine: Names of the tasks whose labels for training are a machine's.
            People's labels of these are then the clean ones; otherwise all
            that people have given are clean.
        writer: As of `LabelledImages`.

    Raises:
        ValueError: if something is missing or wrong with the data.
    """
    if split not in splits:
        raise ValueError(
            f"`split` must be one of {', '.join(splits)}. Received: {split!r}"
        )
    if not isinstance(cache_dir, (str, os.PathLike, type(None))):
        raise ValueError(f"`cache_dir` must be a folder. Received: {cache_dir}")
    builder = builder_class(config=config, data_dir=cache_dir)
    if not builder.is_prepared():
        _check_writable(pathlib.Path(builder.data_dir).parents[2])
    builder.download_and_prepare()
    # Raises at the first entry that an earlier preparation has skipped.
    report = ImportReport(config.on_error)
    for entry in builder.info.metadata["rejected"]:
        report.reject(*entry)
    report.notes.update(builder.info.metadata["notes"])

    def read(names, **decoders):
        return builder.as_dataset(
            split=split,
            shuffle_files=False,
            read_config=_READ_CONFIG,
            decoders=tfds.decode.PartialDecoding(
                dict.fromkeys(names, True), decoders=decoders or None
            ),
        )

    names = set(builder.info.features) - {"image"}
    batches = list(read(names).batch(10_000).as_numpy_iterator())
    columns = {
        name: np.concatenate([each[name] for each in batches]) for name in names
    }
    file_names = [each.decode() for each in columns.pop("file_name")]
    records = tf.data.Dataset.zip(
        read(["image", "file_name"], image=tfds.decode.SkipDecoding()),
        tf.data.Dataset.from_tensor_slices(file_names),
    )
    machine = machine if split == "train" else ()
    labels, clean = {}, {}
    for task in tasks:
        people = columns[task.name]
        is_machine = task.name in machine
        labels[task.name] = columns["machine_" * is_machine + task.name]
        if (is_machine or not machine) and not task.missing(people).all():
            clean[task.name] = people
    return LabelledImages(
        ImageRecords(records.map(_image_of), file_names),
        labels,
        tasks,
        clean,
        report=report,
        writer=writer,
    )


def _image_of(example, name):
    # Labels and images are read one after the other, each in its turn.
    same = tf.debugging.assert_equal(example["file_name"], name)
    with tf.control_dependencies([same]):
        return tf.identity(example["image"])


def _check_writable(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            "`cache_dir` must be a folder that can be written to. "
            f"Received: {folder} ({error.strerror})"
        ) from None
