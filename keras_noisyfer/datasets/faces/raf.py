"""RAF-DB, faces with seven expressions, and RAF-base of the paper."""

import dataclasses
import os
from typing import Unpack

import numpy as np
import pandas as pd

from keras_noisyfer.datasets.faces.alignment import raf_eyes
from keras_noisyfer.datasets.faces.expressions import (
    affect_task,
    expression_task,
)
from keras_noisyfer.datasets.faces.label_files import (
    read_raf_affect,
    read_raf_expressions,
)
from keras_noisyfer.datasets.faces.label_writers import RafWriter
from keras_noisyfer.datasets.faces.manual_builder import ManualFaces
from keras_noisyfer.datasets.faces.manual_config import (
    BaseOptions,
    FaceOptions,
    FaceSplit,
    ManualConfig,
    reject_unlabelled,
)
from keras_noisyfer.datasets.image_names import ImageFolder
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.typing import PathLike, Tasks

# The misspelling is that of the published file.
LABEL_LIST = "list_patition_label.txt"
MACHINE = "AffectnetModel"
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
    splits = ("train", "test")
    authors_machine = MACHINE

    @property
    def tasks(self) -> Tasks:
        return [expression_task(), affect_task()][: 1 + self.base]

    def find_files(self) -> None:
        path = os.path.join("EmoLabel", LABEL_LIST)
        self.label_list = self.find(
            [path, os.path.join("basic", path)], "its label list"
        )
        root = os.path.dirname(os.path.dirname(self.label_list))
        self.face_files = [self.label_list]
        kind = "aligned"
        if self.alignment == "eyes":
            kind, what = "original", "the folder of eye positions"
            self.face_files.append(self.find(["Annotation/manual"], what, root))
        self.image_folders = [
            self.find([f"Image/{kind}"], "the folder of images", root)
        ]
        self.machine_folders = [
            os.path.join(each, folder)
            for each in dict.fromkeys([root, self.manual_dir])
            for folder in MACHINE_FOLDERS
        ]
        names = RafWriter("").files(str(self.machine)) if self.base else []
        self.machine_files = [self.find_machine_labels(name) for name in names]

    def read(self, report: ImportReport) -> dict[str, FaceSplit]:
        faces = read_raf_expressions(self.label_list, report)
        listed = [*faces.index, *faces.attrs.pop("rejected")]
        faces["path"] = self._paths(faces.index)
        root = self._find_images(set(faces["path"]))
        reject_unlabelled(root, self._paths(listed), report)
        kinds = faces.index.str.extract("^(train|test)_", expand=False)
        for name in faces.index[kinds.isna()]:
            report.reject(name, "neither a train nor a test image")
        if kinds.nunique() < len(self.splits):
            raise ValueError(
                f"{self.label_list} must name train_... and test_... images. "
                f"Received: {kinds.notna().sum()} labels of one kind only"
            )
        train, test = (faces[kinds == split] for split in self.splits)
        readers = (read_raf_expressions, read_raf_affect)
        for path, read in zip(self.machine_files, readers, strict=False):
            machine = read(path, report)
            train = self.join_machine_labels(
                train, machine, report, path, listed
            )
        return {"train": FaceSplit(root, train), "test": FaceSplit(root, test)}

    def _paths(self, names):
        # train_00001.jpg is train_00001_aligned.jpg in `Image/aligned`.
        suffix = "" if self.alignment == "eyes" else "_aligned"
        parts = map(os.path.splitext, names)
        return [f"{stem}{suffix}{end}" for stem, end in parts]

    def _find_images(self, names):
        (top,) = self.image_folders
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

    def eyes(self, split: str, face: pd.Series) -> np.ndarray:
        return raf_eyes(self.face_files[1], [face.name])[0]

    def writer(self) -> RafWriter:
        searched = [*self.machine_folders, self.machine_labels_dir]
        return RafWriter(os.path.dirname(self.label_list), searched)


class RafDb(ManualFaces):
    """RAF-DB's basic expressions as TFDS prepares them; see `ManualFaces`.

    Example:

    ```python
    config = RafDbConfig(manual_dir="rafd", base=True)
    train = tfds.load(
        "raf_db", split="train", builder_kwargs={"config": config}
    )
    ```

    Reference:

    - [Li, Deng and Du, 2017](http://www.whdeng.cn/RAF/model1.html)
    """

    configuration = RafDbConfig


def load_raf(
    data_dir: PathLike, split: str = "train", **options: Unpack[FaceOptions]
) -> LabelledImages:
    """Loads RAF-DB with people's expression labels.

    The first call prepares the images, which takes some minutes; a later one
    prepares those that are new or have changed.

    Args:
        data_dir: Folder with `EmoLabel`, `Image` and `Annotation`, or with
            `basic` that has them; see `RafDbConfig`.
        split: `"train"` or `"test"`.
        **options: The following ones.
        cache_dir: Folder that prepared images go to; by default that of
            TFDS, `~/tensorflow_datasets`.
        image_size: Width and height of the prepared images in pixels; by
            default 64.
        alignment: `"eyes"` (default): faces cut from the original images so
            that the eyes are at fixed places. `"given"`: RAF-DB's own aligned
            faces.
        on_error: `"raise"` (default) at the first bad entry, or `"skip"` and
            count: `report` tells of the labels of both splits and of the
            images of this one.

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
    return RafDbConfig(manual_dir=data_dir, **options).load(split)


def load_raf_base(
    data_dir: PathLike, split: str = "train", **options: Unpack[BaseOptions]
) -> LabelledImages:
    """Loads RAF-base: RAF-DB with the labels of models made on AffectNet.

    The machine labels are joined by file name. Their authors clip affect to
    [-1, 1], and so does this.

    Args:
        data_dir: As of `load_raf`.
        split: `"train"` or `"test"`.
        **options: As of `load_raf`, and the following two. An image without
            a machine label is a bad entry.
        machine: Name of the model whose labels to take, by default the
            authors' `AffectnetModel`: those that `relabel` wrote have the
            name that was given there.
        machine_labels_dir: Folder with `list_label_<machine>.txt` and
            `list_va_<machine>.txt`. By default they are looked for in
            `data_dir`, see `RafDbConfig`.

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
    config = RafDbConfig(manual_dir=data_dir, base=True, **options)
    return config.load(split)
