"""Faces that are not downloaded: found, read, prepared and loaded."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from PIL import Image

from keras_noisyfer.arguments import check_choice, check_number, one_line
from keras_noisyfer.datasets.conversion import make_images
from keras_noisyfer.datasets.faces.alignment import align_face, check_eyes
from keras_noisyfer.datasets.faces.expressions import AFFECT_DIMENSIONS
from keras_noisyfer.datasets.faces.label_files import BOX_COLUMNS
from keras_noisyfer.datasets.image_files import (
    UnusableImage,
    check_folder,
    list_images,
    read_rgb,
)
from keras_noisyfer.datasets.image_sources import ImageFiles
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.long_table import from_long
from keras_noisyfer.datasets.machine_labels import tell_unmatched
from keras_noisyfer.datasets.report import ON_ERROR, ImportReport
from keras_noisyfer.typing import PathLike, Tasks

ALIGNMENTS = ("eyes", "given")
# Larger ones would fill the disk: published faces are smaller.
MAX_IMAGE_SIZE = 1024
# Faces are cut this large, as the authors' are, and then made smaller.
ALIGNED_SIZE = 256
# Who has labelled what no machine has.
PEOPLE = "people"
# The task and the dimension that each column of labels is of.
COLUMNS = {
    "expression": ("expression", 0),
    **{name: ("affect", i) for i, name in enumerate(AFFECT_DIMENSIONS)},
}


@dataclasses.dataclass(eq=False, kw_only=True)
class ManualConfig(tfds.core.BuilderConfig):
    """Where a data set lies, and how its faces are prepared. The arguments are
    those of `load_raf`, where `manual_dir` is called `data_dir`; where TFDS
    prepares the faces, they go to its own folder, not to `cache_dir`.

    The name is made from the arguments, as `"raf-eyes-64-1a2b3c4d"`. Its end
    is a fingerprint of the folder's path, of the label files and of the
    images, so that what TFDS keeps under that name is never that of other
    labels, images or folders. Images and annotation files of single images
    count by name, size and time, all others by content.
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

    # Of the subclass.
    kind: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    authors_machine: ClassVar[str]

    def __post_init__(self):
        size = {"minimum": 1, "maximum": MAX_IMAGE_SIZE, "integer": True}
        check_number("image_size", self.image_size, **size)
        check_choice("alignment", self.alignment, ALIGNMENTS)
        check_choice("on_error", self.on_error, ON_ERROR)
        if not self.base and (self.machine or self.machine_labels_dir):
            raise ValueError(
                "`machine` and `machine_labels_dir` must be left out where "
                f"people's labels are loaded. Received: {self.machine!r}, "
                f"{self.machine_labels_dir!r}"
            )
        self.manual_dir = check_folder(
            "`data_dir` (`manual_dir` of a configuration)",
            _from_home(self.manual_dir),
            self.source,
        )
        if self.machine_labels_dir is not None:
            self.machine_labels_dir = check_folder(
                "`machine_labels_dir`", _from_home(self.machine_labels_dir)
            )
        self.machine = self.machine or self.authors_machine
        # What says which faces there are and where; with `base`, labels.
        self.machine_files = []
        self.find_files()
        files = self.face_files + self.machine_files
        files += dict.fromkeys(self.image_roots.values())
        self.name = self._named(self.kind + "-base" * self.base, files)

    @property
    def has_machine(self) -> bool:
        """Whether there are published labels of a machine."""
        return self.base and self.machine != PEOPLE

    @property
    def tasks(self) -> Tasks:
        """The tasks that are loaded."""
        raise NotImplementedError

    def find_files(self) -> None:
        """Sets `face_files`, the folder of images of each split in
        `image_roots`, and with `has_machine` `machine_files`, or says what
        lacks."""
        raise NotImplementedError

    def read(self, report: ImportReport) -> dict[str, pd.DataFrame]:
        """The faces of each split: indexed by the images' names, `path` within
        the split's folder, people's labels in `COLUMNS` and the machine's in
        `machine_...` (missing: -1 and NaN), and where the face is, as
        `read_affectnet_labels` has it."""
        raise NotImplementedError

    def eyes(self, split: str, face: pd.Series) -> np.ndarray:
        """Eye positions of a face, `(2, 2)`, NaN where unknown."""
        raise NotImplementedError

    @property
    def faces_folder(self) -> str:
        """Name of the folder of prepared faces, which machine labels do not
        change. Nor do images: faces of new ones are made one by one."""
        return self._named(self.kind, self.face_files)

    def _named(self, kind, files):
        ending = _fingerprint(self.manual_dir, files)
        return f"{kind}-{self.alignment}-{self.image_size}-{ending}"

    def load(self, split: str) -> LabelledImages:
        """Prepares the faces of a split that are not yet there, and loads it.

        Where there are labels of a machine, people's of the same kind are the
        clean ones, otherwise all that people have given.
        """
        check_choice("split", split, self.splits)
        report = ImportReport(self.on_error)
        folder, faces = self.prepare(split, self.read(report)[split], report)
        machine = [each for each in COLUMNS if f"machine_{each}" in faces]
        people = faces.filter([*COLUMNS])
        streams = people.assign(**{e: faces[f"machine_{e}"] for e in machine})
        truth = people.filter(machine or [*COLUMNS])
        both = pd.concat({False: streams, True: truth}, names=["clean"])
        both["image"] = [*range(len(faces))] * 2
        table = both.reset_index("clean").melt(["clean", "image"])
        about = table["variable"].map(COLUMNS)
        table["task"], table["dimension"] = zip(*about, strict=True)
        who: dict[str, Any] = {task.name: PEOPLE for task in self.tasks}
        who.update({COLUMNS[each][0]: self.machine for each in machine})
        table["annotator"] = table["task"].map(who)
        annotators = {name: [each] for name, each in who.items()}
        return from_long(
            table,
            ImageFiles(folder, faces.index),
            self.tasks,
            report,
            annotators,
            # Of RAF-DB's test images nobody has told valence and arousal.
            unlabelled=annotators,
        )

    def prepare(
        self,
        split: str,
        faces: pd.DataFrame,
        report: ImportReport,
        cache_dir: PathLike | None = None,
    ) -> tuple[pathlib.Path, pd.DataFrame]:
        """Makes a small image of each face that has none. Returns the folder,
        in which an image has its name, and the faces that have one."""
        cache = cache_dir or self.cache_dir or tfds.core.constants.DATA_DIR
        try:
            cache = pathlib.Path(cache).expanduser()
            cache.mkdir(parents=True, exist_ok=True)
        except (OSError, TypeError) as error:
            raise ValueError(
                f"`cache_dir` must be a folder. Received: {cache}, which "
                f"cannot be written to ({one_line(error)})"
            ) from None
        folder = cache / "faces" / self.faces_folder / split

        def make(index, path):
            face = self._cut(read_rgb(path), split, faces.iloc[index])
            # As training and the exported model scale: with a wide filter.
            size = (self.image_size, self.image_size)
            return face.resize(size, Image.Resampling.BILINEAR)

        made = make_images(
            self.image_roots[split],
            folder,
            faces.index.tolist(),
            make,
            {"size": self.image_size},
            on_error=self.on_error,
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
                f"Received: none of use in {self.image_roots[split]}"
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
        self, what: str, candidates: Iterable[str], source: str | None = None
    ) -> str:
        """The first of these paths, relative to `manual_dir`, that exists. A
        `ValueError` says what was looked for, and its source."""
        for candidate in candidates:
            path = os.path.normpath(os.path.join(self.manual_dir, candidate))
            if os.path.exists(path):
                return path
        raise ValueError(
            f"{self.title} lacks {what}. Looked in {self.manual_dir} for "
            f"{', '.join(candidates)}. {source or self.source}"
        )

    def find_machine_labels(self, name: str, folders: Iterable[str]) -> str:
        """The path of a file of published machine labels."""
        if self.machine_labels_dir:
            folders = [self.machine_labels_dir]
        source = "`with_machine_labels` reads those that `relabel` wrote"
        if self.machine == self.authors_machine:
            source = (
                "The authors publish them at "
                "https://github.com/sanweiliti/noisyFER, noisy_labels"
            )
        return self.find(
            f"the machine labels {name}",
            [os.path.join(folder, name) for folder in folders],
            f"{source}; `machine_labels_dir` may say where they are",
        )

    def join_machine_labels(
        self,
        faces: pd.DataFrame,
        machine: pd.DataFrame,
        report: ImportReport,
        path: str,
        known: Iterable[str],
    ) -> pd.DataFrame:
        """Adds by name the labels of a machine that were read from `path`, and
        leaves out faces without them. `known` are the names of all images."""
        surplus = (~machine.index.isin(known)).sum()
        missing = faces.index.difference(machine.index, sort=False)
        # Those whose label was rejected have been counted.
        missing = missing.difference(machine.attrs["rejected"], sort=False)
        tell_unmatched(missing, len(faces), surplus, path, report)
        return faces.join(machine.add_prefix("machine_"), how="inner")


def reject_unlabelled(
    image_root: PathLike, labelled: Iterable[str], report: ImportReport
) -> None:
    """Rejects the images of a folder that are not among those, by their paths
    relative to it, that have a label or a rejected one."""
    for name in sorted(set(list_images(image_root)) - set(labelled)):
        report.reject(name, "image without label", f"in {image_root}")


def _from_home(path):
    is_path = isinstance(path, (str, os.PathLike))
    return os.path.expanduser(path) if is_path else path


def _fingerprint(folder, paths):
    """Eight hexadecimal digits that change with the folder or the files."""
    digest = hashlib.blake2b(folder.encode(), digest_size=4)
    for path in paths:
        # Not the path itself: a file may be found at another place.
        digest.update(b"\0" + os.path.basename(path).encode() + b"\0")
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "blake2b").digest())
            continue
        for name in list_images(path, [""]):
            file = os.path.join(path, name)
            # A link may lead to nowhere.
            status = os.stat(file, follow_symlinks=os.path.exists(file))
            text = f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0"
            digest.update(text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
