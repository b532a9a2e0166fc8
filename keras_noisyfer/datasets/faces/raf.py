"""RAF-DB, faces with seven expressions, and RAF-base of the paper."""

import dataclasses
import os

import numpy as np

from keras_noisyfer.datasets.faces.alignment import EYE_COLUMNS, raf_eyes
from keras_noisyfer.datasets.faces.expressions import (
    affect_task,
    expression_task,
)
from keras_noisyfer.datasets.faces.label_files import (
    read_raf_affect,
    read_raf_expressions,
)
from keras_noisyfer.datasets.faces.label_writers import RafWriter
from keras_noisyfer.datasets.faces.manual_builder import ManualFaces, load_faces
from keras_noisyfer.datasets.faces.manual_config import (
    FaceSplit,
    ManualConfig,
    join_machine_labels,
    reject_unlabelled,
)
from keras_noisyfer.datasets.image_names import ImageFolder
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.typing import PathLike

SPLITS = ("train", "test")
# The misspelling is that of the published file.
LABEL_LIST = "list_patition_label.txt"
MACHINE = "AffectnetModel"
ROOTS = ("", "basic")
MACHINE_FOLDERS = ("", "EmoLabel", "noisy_labels")


@dataclasses.dataclass(eq=False, kw_only=True)
class RafDbConfig(ManualConfig):
    """How RAF-DB is prepared: see `ManualConfig` for the arguments.

    Files are looked for in `manual_dir` and, if the label list is not there,
    in its folder `basic`:

    - `EmoLabel/list_patition_label.txt`;
    - with `alignment="eyes"`, the images in `Image/original` and the eye
      positions in `Annotation/manual`; with `"given"`, the images in
      `Image/aligned`. Images may lie in a deeper folder, such as `imgs`;
    - with `base`, `list_label_<machine>.txt` and `list_va_<machine>.txt`
      there, in `EmoLabel`, in `noisy_labels`, or the last two in
      `manual_dir` itself; the authors' machine is `AffectnetModel`.
    """

    kind = "raf"
    title = "RAF-DB"
    source = "Ask for RAF-DB at http://www.whdeng.cn/RAF/model1.html"
    authors_machine = MACHINE

    def find_files(self) -> None:
        candidates = [
            os.path.join(root, "EmoLabel", LABEL_LIST) for root in ROOTS
        ]
        self.label_list = self.find(candidates, "its label list")
        self.root = os.path.dirname(os.path.dirname(self.label_list))
        if self.alignment == "eyes":
            self.eye_folder = self.find(
                ["Annotation/manual"],
                "the folder of eye positions",
                self.root,
                isdir=True,
            )
        kind = "original" if self.alignment == "eyes" else "aligned"
        self.image_folder = self.find(
            [f"Image/{kind}"], "the folder of images", self.root, isdir=True
        )
        if self.base:
            self.machine_lists = [
                self.find_machine_labels(name)
                for name in RafWriter("").files(str(self.machine)).values()
            ]

    def face_files(self) -> list[str]:
        eyes = [self.eye_folder] if self.alignment == "eyes" else []
        return [self.label_list, *eyes]

    def machine_files(self) -> list[str]:
        return self.machine_lists if self.base else []

    def image_folders(self) -> list[str]:
        return [self.image_folder]

    def machine_folders(self) -> list[str]:
        folders = [
            os.path.join(root, folder)
            for root in (self.root, self.manual_dir)
            for folder in MACHINE_FOLDERS
        ]
        return list(dict.fromkeys(folders))

    def read(self, report: ImportReport) -> dict[str, FaceSplit]:
        faces = read_raf_expressions(self.label_list, report)
        rejected = faces.attrs.pop("rejected")
        listed = [*faces.index, *rejected]
        faces["path"] = self._paths(faces.index)
        image_root = self._find_images(set(faces.path))
        reject_unlabelled(image_root, self._paths(listed), report)
        splits = {
            split: faces[faces.index.str.startswith(f"{split}_")].copy()
            for split in SPLITS
        }
        known = sum(map(len, splits.values()))
        for name in faces.index[~faces.index.str.match("(train|test)_")]:
            report.reject(name, "neither a train nor a test image")
        if not all(map(len, splits.values())):
            raise ValueError(
                f"{self.label_list} must name train_... and test_... images. "
                f"Received: {known} labels of one kind only"
            )
        if self.base:
            splits["train"] = self._with_machine_labels(
                splits["train"], report, listed
            )
        if self.alignment == "eyes":
            for split, each in splits.items():
                splits[split] = self._with_eyes(each, report)
        return {
            split: FaceSplit(image_root, each) for split, each in splits.items()
        }

    def _paths(self, names):
        # train_00001.jpg is train_00001_aligned.jpg in `Image/aligned`.
        suffix = "" if self.alignment == "eyes" else "_aligned"
        parts = map(os.path.splitext, names)
        return [f"{stem}{suffix}{end}" for stem, end in parts]

    def _find_images(self, names):
        top = self.image_folder
        for folder, folders, files in os.walk(top):
            folders.sort()
            if not names.isdisjoint(files):
                return folder
        wanted = ImageFolder(top).explain(min(names), "missing image", "")
        raise ValueError(
            f"{self.title} lacks its images. Looked in {top} and the folders "
            f"in it for {min(names)} and the others of {self.label_list}"
            f"{wanted[2]}. {self.source}"
        )

    def _with_machine_labels(self, faces, report, known):
        for path, read in zip(
            self.machine_lists,
            (read_raf_expressions, read_raf_affect),
            strict=True,
        ):
            machine = read(path, report)
            faces = join_machine_labels(faces, machine, report, path, known)
        return faces

    def _with_eyes(self, faces, report):
        eyes = np.full((len(faces), 4), np.nan)
        good = np.ones(len(faces), bool)
        for index, name in enumerate(faces.index):
            try:
                eyes[index] = raf_eyes(self.eye_folder, [name]).ravel()
            except ValueError as error:
                good[index] = False
                report.reject(name, "malformed eye positions", str(error))
        faces[EYE_COLUMNS] = eyes
        return faces[good]


class RafDb(ManualFaces):
    """RAF-DB's basic expressions, from a folder of the user's.

    Nothing is downloaded. An example holds `image`, a JPEG image of
    `image_size`; `file_name`, as in the label list; `expression`, a class id
    in the order of `EXPRESSIONS`; with `base`, in the training split, the
    machine's `machine_expression` and `machine_affect`, valence and arousal.
    Missing are -1 and NaN.

    Args:
        config: A `RafDbConfig`.
        data_dir: Folder that the prepared files go to. Aligned faces go to
            `aligned` in it, so that a stopped preparation goes on there.

    Example:

    ```python
    config = RafDbConfig(manual_dir="rafd", base=True)
    builder = RafDb(config=config)
    builder.download_and_prepare()
    train = builder.as_dataset(split="train")
    ```

    Reference:

    - [Li, Deng and Du, 2017](http://www.whdeng.cn/RAF/model1.html)
    """

    VERSION = ManualFaces.VERSION
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Ask for RAF-DB at http://www.whdeng.cn/RAF/model1.html and unpack its
    folder `basic`: `EmoLabel`, `Image` and `Annotation`. Then give
    `RafDbConfig(manual_dir=...)`.
    """


def load_raf(
    data_dir: PathLike,
    split: str = "train",
    *,
    image_size: int = 64,
    alignment: str = "eyes",
    cache_dir: PathLike | None = None,
    on_error: str = "raise",
) -> LabelledImages:
    """Loads RAF-DB with people's expression labels.

    The first call prepares the images, which takes some minutes.

    Args:
        data_dir: Folder with `EmoLabel`, `Image` and `Annotation`, or with
            `basic` that has them; see `RafDbConfig`.
        split: `"train"` or `"test"`.
        image_size: Width and height of the prepared images in pixels.
        alignment: `"eyes"`: faces cut from the original images so that the
            eyes are at fixed places. `"given"`: RAF-DB's own aligned faces.
        cache_dir: Folder that prepared images go to; by default that of
            TFDS, `~/tensorflow_datasets`.
        on_error: `"raise"` at the first bad entry, or `"skip"` and count:
            `report` tells of those of both splits.

    Returns:
        A `LabelledImages` with the task `expression`, whose clean labels
        are the labels.

    Raises:
        ValueError: if an argument is wrong, a file is missing, or, with
            `on_error="raise"`, an entry is bad.

    Example:

    >>> train = load_raf("rafd")
    >>> dataset = train.batches((64, 64, 3), batch_size=128, training=True)
    """
    config = RafDbConfig(
        manual_dir=data_dir,
        alignment=alignment,
        image_size=image_size,
        on_error=on_error,
    )
    return _load(config, split, cache_dir, [expression_task()])


def load_raf_base(
    data_dir: PathLike,
    split: str = "train",
    *,
    machine: str = MACHINE,
    machine_labels_dir: PathLike | None = None,
    image_size: int = 64,
    alignment: str = "eyes",
    cache_dir: PathLike | None = None,
    on_error: str = "raise",
) -> LabelledImages:
    """Loads RAF-base: RAF-DB with the labels of models made on AffectNet.

    The machine labels are joined by file name. Their authors clip affect to
    [-1, 1], and so does this.

    Args:
        data_dir: As of `load_raf`.
        split: `"train"` or `"test"`.
        machine: Name of the model whose labels to take: those that `relabel`
            wrote have the name that was given there.
        machine_labels_dir: Folder with `list_label_<machine>.txt` and
            `list_va_<machine>.txt`. By default they are looked for in
            `data_dir`, see `RafDbConfig`.
        image_size: As of `load_raf`.
        alignment: As of `load_raf`.
        cache_dir: As of `load_raf`.
        on_error: As of `load_raf`; an image without a machine label is a bad
            entry.

    Returns:
        A `LabelledImages` with the tasks `expression` and `affect`. Train:
        machine labels. Test: people's expressions; affect is missing, since
        nobody has labelled it. Clean labels: people's expressions.

    Raises:
        ValueError: as `load_raf`.

    Example:

    >>> train = load_raf_base("rafd", machine_labels_dir="noisy_labels")
    >>> test = load_raf_base("rafd", "test", machine_labels_dir="noisy_labels")
    """
    config = RafDbConfig(
        manual_dir=data_dir,
        base=True,
        machine=machine,
        machine_labels_dir=machine_labels_dir,
        alignment=alignment,
        image_size=image_size,
        on_error=on_error,
    )
    tasks = [expression_task(), affect_task()]
    machine = ["expression", "affect"]
    return _load(config, split, cache_dir, tasks, machine)


def _load(config, split, cache_dir, tasks, machine=()):
    folder = os.path.dirname(config.label_list)
    writer = RafWriter(folder, config.searched_folders())
    return load_faces(
        RafDb, SPLITS, config, split, cache_dir, tasks, machine, writer
    )
