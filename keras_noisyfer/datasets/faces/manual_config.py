"""Where data sets lie that cannot be downloaded, and what is in them."""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import pandas as pd
import tensorflow_datasets as tfds

from keras_noisyfer.arguments import check_number
from keras_noisyfer.datasets.image_files import list_images
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.typing import PathLike

ALIGNMENTS = ("eyes", "given")
# Larger ones would fill the disk: published faces are smaller.
MAX_IMAGE_SIZE = 1024
AUTHORS_LABELS = (
    "The authors publish them at https://github.com/sanweiliti/noisyFER, "
    "noisy_labels"
)
OWN_LABELS = "`relabel` with that `name` writes such files"


@dataclasses.dataclass
class FaceSplit:
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


@dataclasses.dataclass(eq=False, kw_only=True)
class ManualConfig(tfds.core.BuilderConfig):
    """Where a data set lies, and how its faces are prepared.

    The name is made from the arguments, as `"raf-eyes-64-1a2b3c4d"`. Its end
    is a fingerprint of the folder's path, of the label files and of the
    images. TFDS keeps prepared files in a folder of that name, so other
    labels or images or another folder never give what was prepared before.
    Images and annotation files of single images count by name, size and
    time, all others by content.

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
        on_error: `"raise"` at the first bad entry, or `"skip"` and count.

    Raises:
        ValueError: if an argument is wrong, or a label file is missing.
    """

    name: str | None = None
    manual_dir: Any = None
    base: bool = False
    machine: str | None = None
    machine_labels_dir: str | os.PathLike | None = None
    alignment: str = "eyes"
    image_size: int = 64
    on_error: str = "raise"

    # Of the subclass: the first part of the name, the data set's title, and
    # where to ask for it.
    kind: ClassVar[Any] = None
    title: ClassVar[Any] = None
    source: ClassVar[Any] = None
    # The authors' model.
    authors_machine: ClassVar[Any] = None

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
        ImportReport(self.on_error)
        self.manual_dir = _folder(
            "`data_dir` (`manual_dir` of a configuration)",
            self.manual_dir,
            self.source,
        )
        if self.machine_labels_dir is not None:
            self.machine_labels_dir = _folder(
                "`machine_labels_dir`", self.machine_labels_dir
            )
        self.machine = self.machine or self.authors_machine
        self.find_files()
        kind = self.kind + "-base" * self.base
        files = self.face_files() + self.machine_files() + self.image_folders()
        fingerprint = _fingerprint(self.manual_dir, files)
        name = f"{kind}-{self.alignment}-{self.image_size}-{fingerprint}"
        if self.name not in (None, name):
            raise ValueError(
                f"`name` must be left out or be {name!r}. "
                f"Received: {self.name!r}"
            )
        self.name = name

    def find_files(self) -> None:
        """Finds the label files, or raises a `ValueError`."""
        raise NotImplementedError

    def face_files(self) -> list[str]:
        """Files and folders that say which faces there are, and where."""
        raise NotImplementedError

    def machine_files(self) -> list[str]:
        """The files of machine labels, none without `base`."""
        raise NotImplementedError

    def image_folders(self) -> list[str]:
        """The folders that the images lie in, at whatever depth."""
        raise NotImplementedError

    def machine_folders(self) -> list[str]:
        """Folders that machine labels are looked for in by default."""
        raise NotImplementedError

    def read(self, report: ImportReport) -> dict[str, FaceSplit]:
        """Dict by split name of `FaceSplit`."""
        raise NotImplementedError

    @property
    def aligned_folder(self) -> str:
        """Name of the folder of aligned faces: labels of machines and the
        size of prepared images do not matter. Nor do the images: faces of
        changed ones are made again one by one."""
        return f"{self.kind}-{_fingerprint(self.manual_dir, self.face_files())}"

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
        folders: list[Any] = self.machine_folders()
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
        return [*own, *self.machine_folders()]


def join_machine_labels(
    faces: pd.DataFrame,
    machine: pd.DataFrame,
    report: ImportReport,
    path: str,
    known: Iterable[str],
) -> pd.DataFrame:
    """Adds machine labels by name, and leaves out images without them.

    `report.notes` tells how many labels belong to no image.

    Args:
        faces: `DataFrame` indexed by name.
        machine: `DataFrame` indexed by name; its columns get the prefix
            `machine_`. Images in its `attrs["rejected"]` are left out without
            being counted again.
        report: `ImportReport`.
        path: The file that they were read from, for messages.
        known: Names of all images, whether in `faces` or not.
    """
    surplus = int((~machine.index.isin(known)).sum())
    if surplus:
        note = f"machine labels of no image, {os.path.basename(path)}"
        report.notes[note] = surplus
    found = faces.index.isin(machine.index)
    missing = faces.index[~found]
    if len(missing) and report.on_error == "raise":
        raise ValueError(
            f"{path} must have a label of every image. Received: labels of "
            f"{found.sum():,} of {len(faces):,} images, none of {missing[0]}. "
            'With `on_error="skip"` the others are left out and counted'
        )
    for name in missing.difference(machine.attrs["rejected"], sort=False):
        report.reject(name, "no machine label", path)
    return faces[found].join(machine.add_prefix("machine_"))


def reject_unlabelled(
    image_root: PathLike, labelled: Iterable[str], report: ImportReport
) -> None:
    """Rejects the images of a folder that no label file names: `labelled` are
    the paths relative to it that have a label, or a rejected one."""
    for name in sorted(set(list_images(image_root)) - set(labelled)):
        report.reject(name, "image without label", f"in {image_root}")


def _fingerprint(folder, paths):
    """Eight hexadecimal digits that change with the folder or the files."""
    digest = hashlib.blake2b(folder.encode(), digest_size=4)
    for path in paths:
        # Not the path itself: a file may be found at another place.
        digest.update(b"\0" + os.path.basename(path).encode() + b"\0")
        if os.path.isdir(path):
            for file in sorted(_list_files(path)):
                digest.update(file.encode("utf-8", "surrogateescape") + b"\0")
        else:
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _list_files(folder, parent=""):
    """Name, size and time of each file in a folder and those in it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{parent}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _list_files(entry.path, f"{name}/")
                continue
            try:
                status = entry.stat()
            except OSError:
                # A link to nowhere.
                status = entry.stat(follow_symlinks=False)
            yield f"{name}\0{status.st_size}\0{status.st_mtime_ns}"


def _folder(argument, path, source=""):
    """The real path of a folder, or a `ValueError`."""
    # A number would be taken for that of an open file.
    if isinstance(path, (str, os.PathLike)):
        real = os.path.realpath(os.path.expanduser(path))
        if os.path.isdir(real):
            return real
    message = f"{argument} must be a folder. Received: {path}"
    raise ValueError(f"{message}. {source}" if source else message)
