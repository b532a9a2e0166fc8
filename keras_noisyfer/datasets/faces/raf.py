"""RAF-DB, faces with seven expressions, and RAF-base of the paper."""

import dataclasses
import os
from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.datasets.faces.expressions import (
    affect_task,
    expression_task,
)
from keras_noisyfer.datasets.faces.label_files import (
    raf_eyes,
    read_raf_affect,
    read_raf_expressions,
)
from keras_noisyfer.datasets.faces.manual_builder import ManualFaces
from keras_noisyfer.datasets.faces.manual_config import (
    ManualConfig,
    reject_unlabelled,
)
from keras_noisyfer.datasets.image_files import list_images
from keras_noisyfer.datasets.image_names import ImageFolder
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.typing import PathLike, Tasks

# The misspelling is that of the published file.
LABEL_LIST = "EmoLabel/list_patition_label.txt"
MACHINE_FOLDERS = ("", "EmoLabel", "noisy_labels")


@dataclasses.dataclass(eq=False, kw_only=True)
class RafDbConfig(ManualConfig):
    """How RAF-DB is prepared; the arguments are those of `load_raf`."""

    kind = "raf"
    title = "RAF-DB"
    source = "Ask for RAF-DB at http://www.whdeng.cn/RAF/model1.html"
    splits = ("train", "test")
    authors_machine = "AffectnetModel"

    @property
    def tasks(self) -> Tasks:
        return [expression_task(), affect_task()][: 1 + self.base]

    def find_files(self) -> None:
        self.label_list = self.find(
            "its label list", [LABEL_LIST, f"basic/{LABEL_LIST}"]
        )
        self.face_files = [self.label_list]
        root = self.label_list.removesuffix(LABEL_LIST)
        images, eyes = f"{root}Image/aligned", f"{root}Annotation/manual"
        if self.alignment == "eyes":
            images = f"{root}Image/original"
            what = "the folder of eye positions"
            self.face_files.append(self.find(what, [eyes]))
        root_of_images = self.find("the folder of images", [images])
        self.image_roots = dict.fromkeys(self.splits, root_of_images)
        if self.has_machine:
            folders = [f"{r}{f}" for r in (root, "") for f in MACHINE_FOLDERS]
            self.machine_files = [
                self.find_machine_labels(
                    f"list_{e}_{self.machine}.txt", folders
                )
                for e in ("label", "va")
            ]

    def read(self, report: ImportReport) -> dict[str, pd.DataFrame]:
        faces = read_raf_expressions(self.label_list, report)
        listed = [*faces.index, *faces.attrs.pop("rejected")]
        faces["path"] = self._paths(faces.index)
        root = self._find_images(sorted(faces["path"]))
        self.image_roots = dict.fromkeys(self.splits, root)
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
        return {"train": train, "test": test}

    def _paths(self, names):
        # train_00001.jpg is train_00001_aligned.jpg in `Image/aligned`.
        suffix = "" if self.alignment == "eyes" else "_aligned"
        parts = map(os.path.splitext, names)
        return [f"{stem}{suffix}{end}" for stem, end in parts]

    def _find_images(self, names):
        top = self.image_roots["train"]
        wanted = set(names)
        folders = [
            os.path.dirname(each)
            for each in list_images(top)
            if os.path.basename(each) in wanted
        ]
        if folders:
            return os.path.normpath(os.path.join(top, min(folders, key=len)))
        _, _, like = ImageFolder(top).explain(names[0], "missing image", "")
        raise ValueError(
            f"{self.title} lacks its images. Looked in {top} and the folders "
            f"in it for {names[0]} and the others of {self.label_list}"
            f"{like}. {self.source}"
        )

    def eyes(self, split: str, face: pd.Series) -> np.ndarray:
        return raf_eyes(self.face_files[1], face.name)


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
    data_dir: PathLike, split: str = "train", **options: Any
) -> LabelledImages:
    """Loads RAF-DB, or RAF-base of the paper.

    The first call prepares the images, which takes some minutes; a later one
    prepares those that are new or have changed.

    RAF-DB has people's expression labels. RAF-base has the expressions and
    the affect that a model made on AffectNet gave its training images, joined
    by file name. The authors clip affect to [-1, 1], and so does this.

    Args:
        data_dir: Folder with the following, or with a folder `basic` of it:

            - `EmoLabel/list_patition_label.txt`;
            - with `alignment="eyes"`, the images in `Image/original` and the
              eye positions in `Annotation/manual`; with `"given"`, the images
              in `Image/aligned`. Images may lie in a deeper folder, such as
              `imgs`;
            - with `base`, the authors' `list_label_AffectnetModel.txt` and
              `list_va_AffectnetModel.txt` there, in `EmoLabel` or in
              `noisy_labels`.
        split: `"train"` or `"test"`.
        **options: The following ones.
        base: Whether to load RAF-base; by default False. An image without a
            machine label is then a bad entry.
        machine: Name of the model whose published labels to take, the end of
            the files' names; by default the authors' `AffectnetModel`.
            `"people"`: none; people's labels, in whose place
            `with_machine_labels` puts those of a model of your own.
        machine_labels_dir: Folder of the published labels, if it is another.
        alignment: `"eyes"` (default): faces are turned, scaled and cropped so
            that the eyes are at fixed places. `"given"`: as the data set has
            them, RAF-DB's own aligned faces.
        image_size: Width and height of the prepared images in pixels, at
            most 1024; by default 64.
        cache_dir: Folder that prepared images go to; by default that of
            TFDS, `~/tensorflow_datasets`.
        on_error: `"raise"` (default) at the first bad entry, or `"skip"` and
            count: `report` tells of the labels of both splits and of the
            images of this one.

    Returns:
        A `LabelledImages` with the task `expression`, whose clean labels are
        people's, as its labels are. With `base` also with the task `affect`;
        the machine's labels in training, in the test people's expressions, and
        affect is missing, since nobody has labelled it.

    Raises:
        ValueError: if an argument is wrong, a file is missing, or, with
            `on_error="raise"`, an entry is bad.

    Example:

    >>> train = load_raf("rafd", base=True, machine_labels_dir="noisy_labels")
    >>> dataset = train.batches((64, 64, 3), batch_size=128, training=True)
    """
    return RafDbConfig(manual_dir=data_dir, **options).load(split)
