"""Faces that are not downloaded: found, read, prepared and loaded."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypedDict

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from PIL import Image

from keras_noisyfer.arguments import check_number, one_line
from keras_noisyfer.datasets.conversion import prepare_output, process_images
from keras_noisyfer.datasets.faces.alignment import align_face, check_eyes
from keras_noisyfer.datasets.faces.expressions import AFFECT_DIMENSIONS
from keras_noisyfer.datasets.faces.label_files import BOX_COLUMNS
from keras_noisyfer.datasets.faces.manual_files import (
    cache_folder,
    check_folder,
    fingerprint,
)
from keras_noisyfer.datasets.image_files import UnusableImage, read_rgb
from keras_noisyfer.datasets.image_sources import ImageFiles
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.long_table import from_long
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import PathLike, Tasks

if TYPE_CHECKING:
    from keras_noisyfer.datasets.faces.label_writers import LabelWriter

ALIGNMENTS = ("eyes", "given")
# Larger ones would fill the disk: published faces are smaller.
MAX_IMAGE_SIZE = 1024
# Faces are cut this large, as the authors' are, and then made smaller.
ALIGNED_SIZE = 256
# Who has labelled what no machine has.
PEOPLE = "people"
AUTHORS_LABELS = (
    "The authors publish them at https://github.com/sanweiliti/noisyFER, "
    "noisy_labels"
)
OWN_LABELS = "`relabel` with that `name` writes such files"


class FaceOptions(TypedDict, total=False):
    """What `load_raf` and `load_affectnet` take beside folder and split."""

    image_size: int
    alignment: str
    cache_dir: PathLike | None
    on_error: str


class BaseOptions(FaceOptions, total=False):
    """What `load_raf_base` and `load_affectnet_base` take."""

    machine: str | None
    machine_labels_dir: PathLike | None


class FaceSplit(NamedTuple):
    """One split before its images are read.

    Attributes:
        image_root: Folder of the images.
        faces: `DataFrame` indexed by the images' names: `path` relative to
            `image_root`, the people's labels `expression` (-1 where missing),
            `valence` and `arousal` (NaN where missing), the machine's
            `machine_expression`, `machine_valence` and `machine_arousal`,
            and where the face is, as `read_affectnet_labels` has it. Columns
            may be left out.
    """

    image_root: str
    faces: pd.DataFrame


def _found():
    return dataclasses.field(default_factory=list, init=False, repr=False)


@dataclasses.dataclass(eq=False, kw_only=True)
class ManualConfig(tfds.core.BuilderConfig):
    """Where a data set lies, and how its faces are prepared.

    The name is made from the arguments, as `"raf-eyes-64-1a2b3c4d"`. Its end
    is a fingerprint of the folder's path, of the label files and of the
    images, so that what TFDS keeps under that name is never that of other
    labels, images or folders. Images and annotation files of single images
    count by name, size and time, all others by content.

    Args:
        manual_dir: The folder.
        base: Whether to prepare the training set of the paper, which has
            machine labels.
        machine: Name of the model whose labels they are, part of the names
            of the files; by default that of the authors.
        machine_labels_dir: Folder of the machine labels. By default they are
            looked for in `manual_dir`.
        alignment: `"eyes"`: faces are turned, scaled and cropped so that the
            eyes are at fixed places. `"given"`: as the data set has them.
        image_size: Width and height of the prepared images in pixels, at
            most 1024.
        cache_dir: Folder that the faces go to, by default that of TFDS. Where
            TFDS prepares them, they go to its own.
        on_error: `"raise"` at the first bad entry, or `"skip"` and count.

    Raises:
        ValueError: if an argument is wrong, or a label file is missing.
    """

    name: Any = dataclasses.field(default=None, init=False)
    manual_dir: Any = None
    base: bool = False
    machine: str | None = None
    machine_labels_dir: Any = None
    alignment: str = "eyes"
    image_size: int = 64
    cache_dir: Any = None
    on_error: str = "raise"

    # Of the subclass: the first part of the name, the data set's title, where
    # to ask for it, its splits, the authors' model and the tasks that it has
    # labelled.
    kind: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    authors_machine: ClassVar[str]
    machine_tasks: ClassVar[tuple[str, ...]]
    # By `find_files`: files and folders that say which faces there are and
    # where, files of machine labels (none without `base`), folders of images,
    # and those that machine labels are looked for in by default.
    face_files: list[str] = _found()
    machine_files: list[str] = _found()
    image_folders: list[str] = _found()
    machine_folders: list[str] = _found()

    def __post_init__(self):
        check_number("image_size", self.image_size, minimum=1, integer=True)
        if self.image_size > MAX_IMAGE_SIZE:
            raise ValueError(
                f"`image_size` must be at most {MAX_IMAGE_SIZE}. "
                f"Received: {self.image_size}"
            )
        if self.alignment not in ALIGNMENTS:
            raise ValueError(
                f"`alignment` must be one of {', '.join(ALIGNMENTS)}. "
                f"Received: {self.alignment!r}"
            )
        if not self.base and (self.machine or self.machine_labels_dir):
            raise ValueError(
                "`machine` and `machine_labels_dir` must be left out where "
                f"people's labels are loaded. Received: {self.machine!r}, "
                f"{self.machine_labels_dir!r}"
            )
        ImportReport(self.on_error)
        self.manual_dir = check_folder(
            "`data_dir` (`manual_dir` of a configuration)",
            self.manual_dir,
            self.source,
        )
        if self.machine_labels_dir is not None:
            self.machine_labels_dir = check_folder(
                "`machine_labels_dir`", self.machine_labels_dir
            )
        self.machine = self.machine or self.authors_machine
        self.find_files()
        kind = self.kind + "-base" * self.base
        files = self.face_files + self.machine_files + self.image_folders
        ending = fingerprint(self.manual_dir, files)
        self.name = f"{kind}-{self._prepared}-{ending}"

    @property
    def tasks(self) -> Tasks:
        """The tasks that are loaded, with one annotator each."""
        raise NotImplementedError

    def find_files(self) -> None:
        """Sets the attributes of files and folders, or raises a
        `ValueError`."""
        raise NotImplementedError

    def read(self, report: ImportReport) -> dict[str, FaceSplit]:
        """Dict by split name of `FaceSplit`."""
        raise NotImplementedError

    def eyes(self, split: str, face: pd.Series) -> np.ndarray:
        """Eye positions of a face of a split, a row of its `DataFrame`, of
        shape `(2, 2)`, NaN where unknown."""
        raise NotImplementedError

    def writer(self) -> LabelWriter:
        """What writes labels of one more machine next to those there are."""
        raise NotImplementedError

    @property
    def faces_folder(self) -> str:
        """Name of the folder of prepared faces. Machine labels do not matter.
        Nor do the images: faces of changed ones are made again one by one."""
        ending = fingerprint(self.manual_dir, self.face_files)
        return f"{self.kind}-{self._prepared}-{ending}"

    @property
    def _prepared(self):
        return f"{self.alignment}-{self.image_size}"

    def load(self, split: str) -> LabelledImages:
        """Prepares the faces of a split that are not yet there, and loads it.

        Returns:
            A `LabelledImages`. Labels of `machine_tasks` for training with
            `base` are the machine's, people's are then the clean ones.
            Otherwise all that people have given are clean.

        Raises:
            ValueError: if something is missing or wrong with the data.
        """
        if split not in self.splits:
            raise ValueError(
                f"`split` must be one of {', '.join(self.splits)}. "
                f"Received: {split!r}"
            )
        report = ImportReport(self.on_error)
        each = self.read(report)[split]
        folder, faces = self.prepare(split, each, report)
        machine = self.machine_tasks if self.base and split == "train" else ()
        parts = []
        # Of RAF-DB's test images nobody has told valence and arousal.
        annotators: dict[str, Any] = {t.name: [PEOPLE] for t in self.tasks}
        for task in self.tasks:
            people = _long(task, faces, "", PEOPLE)
            if task.name in machine:
                annotators[task.name] = [self.machine]
                parts.append(_long(task, faces, "machine_", self.machine))
            else:
                parts.append(people)
            if task.name in machine or not machine:
                parts.append(people.assign(clean=True).dropna())
        images = ImageFiles(folder, faces.index)
        table = pd.concat(parts)
        data = from_long(
            table,
            images,
            self.tasks,
            report,
            annotators,
            unlabelled=annotators,
        )
        data.writer = self.writer()
        return data

    def prepare(
        self,
        split: str,
        each: FaceSplit,
        report: ImportReport,
        cache_dir: PathLike | None = None,
    ) -> tuple[pathlib.Path, pd.DataFrame]:
        """Makes a small image of each face that has none.

        Returns:
            The folder, in which an image has its name, and the faces whose
            image could be made.
        """
        faces = each.faces
        folder = (
            cache_folder(cache_dir or self.cache_dir)
            / "faces"
            / self.faces_folder
            / split
        )
        names = faces.index.tolist()
        prepare_output(
            each.image_root, folder, names, {"size": self.image_size}
        )

        def make(index, path):
            face = self._cut(read_rgb(path), split, faces.iloc[index])
            # As training and the exported model scale: with a wide filter.
            size = (self.image_size, self.image_size)
            return face.resize(size, Image.Resampling.BILINEAR)

        made = process_images(
            each.image_root,
            folder,
            names,
            make,
            on_error=self.on_error,
            workers=None,
            description="preparing faces",
            sources=faces["path"].tolist(),
        )
        made.notes.clear()
        report.extend(made)
        faces = faces.drop([name for name, _, _ in made.entries])
        if faces.empty:
            first = report.entries[:1]
            raise ValueError(
                f"The split {split} of {self.title} must have an image. "
                f"Received: none that can be used in {each.image_root}"
                + one_line("".join(f"; {e}: {p}, {d}" for e, p, d in first))
            )
        return folder, faces

    def _cut(self, image, split, face):
        if self.alignment == "eyes":
            try:
                eyes = self.eyes(split, face)
            except (OSError, ValueError) as error:
                problem = "malformed eye positions"
                raise UnusableImage(problem, str(error)) from error
            check_eyes(eyes, image.size)
            return align_face(image, *eyes, max(ALIGNED_SIZE, self.image_size))
        if BOX_COLUMNS[0] not in face:
            return image
        x, y, width, height = box = [face[each] for each in BOX_COLUMNS]
        corners = np.array([x, y, x + width, y + height])
        if not np.isfinite(corners).all():
            raise UnusableImage("no face box")
        # Of a face that is cut off, what is inside.
        corners = np.clip(np.round(corners), 0, (*image.size, *image.size))
        if (corners[2:] <= corners[:2]).any():
            raise UnusableImage("face box outside of the image", f"{box}")
        return image.crop(tuple(corners.astype(int).tolist()))

    def find(
        self,
        candidates: Sequence[str],
        what: str,
        folder: PathLike | None = None,
        source: str | None = None,
        isdir: bool = False,
    ) -> str:
        """The first of these paths, relative to `folder` or `manual_dir`, that
        exists; a `ValueError` says what was looked for, and its source."""
        folder = folder or self.manual_dir
        exists = os.path.isdir if isdir else os.path.isfile
        for candidate in candidates:
            path = os.path.normpath(os.path.join(folder, candidate))
            if exists(path):
                return path
        raise ValueError(
            f"{self.title} lacks {what}. Looked in {folder} for "
            f"{', '.join(candidates)}. {source or self.source}"
        )

    def find_machine_labels(self, file_name: str) -> str:
        """The path of a file of machine labels."""
        folders = self.machine_folders
        if self.machine_labels_dir:
            folders = [self.machine_labels_dir]
        authors = self.machine == self.authors_machine
        return self.find(
            [os.path.join(folder, file_name) for folder in folders],
            f"the machine labels {file_name}",
            source=f"{AUTHORS_LABELS if authors else OWN_LABELS}; "
            "`machine_labels_dir` may say where they are",
        )

    def searched_folders(self) -> list[PathLike]:
        """Each folder that machine labels may be read from."""
        own = [self.machine_labels_dir] if self.machine_labels_dir else []
        return [*own, *self.machine_folders]


def _long(task, faces, prefix, annotator):
    """The rows of the long table that one annotator gives for a task."""
    if isinstance(task, CategoricalTask):
        values = faces[[prefix + task.name]]
        values = values.where(values >= 0)
    else:
        values = faces.reindex(columns=[prefix + e for e in AFFECT_DIMENSIONS])
    values = values.to_numpy("float64")
    count, width = values.shape
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(count), width),
            "task": task.name,
            "dimension": np.tile(np.arange(width), count),
            "annotator": annotator,
            "value": values.ravel(),
            "clean": False,
        }
    )
