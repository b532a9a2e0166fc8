"""AffectNet, faces with expression and affect, and AffectNet-base."""

import dataclasses
import os
from typing import Unpack

import numpy as np
import pandas as pd

from keras_noisyfer.datasets.faces.alignment import EYE_COLUMNS
from keras_noisyfer.datasets.faces.expressions import (
    AFFECT_DIMENSIONS,
    EXPRESSIONS,
    EXPRESSIONS_WITH_CONTEMPT,
    affect_task,
    expression_task,
)
from keras_noisyfer.datasets.faces.label_files import (
    MAX_ARRAY_BYTES,
    eyes_of_landmarks,
    read_affectnet_annotations,
    read_affectnet_labels,
)
from keras_noisyfer.datasets.faces.label_writers import AffectNetWriter
from keras_noisyfer.datasets.faces.manual_builder import ManualFaces
from keras_noisyfer.datasets.faces.manual_config import (
    BaseOptions,
    FaceOptions,
    FaceSplit,
    ManualConfig,
    reject_unlabelled,
)
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import read_npy
from keras_noisyfer.typing import PathLike, Tasks

TABLES = {
    "train": ("training.csv",),
    "validation": ("validation.csv", "validate.csv"),
}
TABLE_FOLDERS = ("", "Manually_Annotated_file_lists")
IMAGE_FOLDERS = (
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
)
# Of the repackaged form.
SET_FOLDERS = {"train": "train_set", "validation": "val_set"}
MACHINE = "RAFModel"
MACHINE_FOLDERS = (*TABLE_FOLDERS, "EmoLabel", "noisy_labels")
NUMBERED = (
    "This copy of AffectNet has numbers for names (train_set/images/0.jpg), "
    "so the published training_RAFModel.csv cannot be joined to it. `relabel` "
    "makes machine labels for it"
)


@dataclasses.dataclass(eq=False, kw_only=True)
class AffectNetConfig(ManualConfig):
    """How AffectNet is prepared: see `ManualConfig` for the arguments.

    `manual_dir` holds AffectNet in one of two forms. The first is looked for
    first:

    - `training.csv` and `validation.csv` (or `validate.csv`), or these in
      `Manually_Annotated_file_lists`; images in `Manually_Annotated_Images`
      or `Manually_Annotated/Manually_Annotated_Images`, in the folders that
      the tables name or all in one;
    - repackaged: `train_set` and `val_set`, each with `images/0.jpg` and
      `annotations/0_exp.npy`, `0_val.npy`, `0_aro.npy` and `0_lnd.npy`.

    With `base`, `training_<machine>.csv` is looked for in `manual_dir` and
    its folders `Manually_Annotated_file_lists`, `EmoLabel` and
    `noisy_labels`; the authors' machine is `RAFModel`.

    With `alignment="given"`, faces are cut out by the tables' boxes; the
    repackaged images are taken as they are, and no `0_lnd.npy` is needed.
    """

    kind = "affectnet"
    title = "AffectNet"
    source = "Ask for AffectNet at http://mohammadmahoor.com/affectnet/"
    splits = ("train", "validation")
    authors_machine = MACHINE

    @property
    def tasks(self) -> Tasks:
        classes = EXPRESSIONS if self.base else EXPRESSIONS_WITH_CONTEMPT
        return [expression_task(classes), affect_task()]

    def find_files(self) -> None:
        # The tables win where there are both.
        self.repackaged = os.path.isdir(
            os.path.join(self.manual_dir, SET_FOLDERS["train"], "annotations")
        ) and not any(
            os.path.isfile(os.path.join(self.manual_dir, path))
            for path in _tables("train")
        )
        self.tables, self.image_roots = {}, {}
        for split, folder in SET_FOLDERS.items():
            tables, images = _tables(split), IMAGE_FOLDERS
            if self.repackaged:
                tables, images = [f"{folder}/annotations"], [f"{folder}/images"]
            self.tables[split] = self.find(tables, f"its {split} labels")
            self.image_roots[split] = self.find(images, "the images")
        self.face_files = list(self.tables.values())
        self.image_folders = list(dict.fromkeys(self.image_roots.values()))
        self.machine_folders = [
            os.path.join(self.manual_dir, folder) for folder in MACHINE_FOLDERS
        ]
        if self.base:
            name = f"training_{self.machine}.csv"
            try:
                self.machine_files = [self.find_machine_labels(name)]
            except ValueError as error:
                if self.repackaged and self.machine == MACHINE:
                    raise ValueError(f"{error}. {NUMBERED}") from None
                raise

    def read(self, report: ImportReport) -> dict[str, FaceSplit]:
        faces, listed = {}, {}
        for split, path in self.tables.items():
            if self.repackaged:
                table = read_affectnet_annotations(path, report)
            else:
                table = read_affectnet_labels(path, report, faces=True)
            listed[split] = [*table.index, *table.attrs.pop("rejected")]
            faces[split] = self._select(split, table, report)
        # All images may lie in one folder, whatever the tables say.
        folders = {
            os.path.join(self.image_roots[split], os.path.dirname(name))
            for split, names in listed.items()
            for name in names
        }
        path_of = str if any(map(os.path.isdir, folders)) else os.path.basename
        for root in self.image_folders:
            splits = [s for s, each in self.image_roots.items() if each == root]
            labelled = [path_of(name) for s in splits for name in listed[s]]
            reject_unlabelled(root, labelled, report)
        if self.base:
            faces["train"] = self._with_machine_labels(
                faces["train"], report, listed["train"]
            )
        return {
            split: FaceSplit(
                self.image_roots[split],
                each.assign(path=[path_of(name) for name in each.index]),
            )
            for split, each in faces.items()
        }

    def _select(self, split, faces, report):
        """Images of one of the classes; with `base` as the release does."""
        count = self.tasks[0].num_classes
        chosen = faces["expression"].between(0, count - 1)
        what = f"{split} images left out, of none of the {count} expressions"
        if self.base:
            chosen &= faces[[*AFFECT_DIMENSIONS]].notna().all(axis=1)
            what += ", or without affect"
        if not chosen.all():
            report.notes[what] = int((~chosen).sum())
        return faces[chosen]

    def _with_machine_labels(self, faces, report, known):
        (path,) = self.machine_files
        count = self.tasks[0].num_classes
        machine = read_affectnet_labels(path, report, classes=count)
        if self.repackaged and not faces.index.isin(machine.index).any():
            raise ValueError(f"{path} names none of the images. {NUMBERED}")
        machine = machine.drop(columns=[*AFFECT_DIMENSIONS])
        faces = self.join_machine_labels(faces, machine, report, path, known)
        other = ~faces["machine_expression"].between(0, count - 1)
        if other.any():
            faces.loc[other, "machine_expression"] = -1
            note = f"machine labels of none of the {count} expressions, missing"
            report.notes[note] = int(other.sum())
        return faces

    def eyes(self, split: str, face: pd.Series) -> np.ndarray:
        if not self.repackaged:
            return face[EYE_COLUMNS].to_numpy("float64").reshape(2, 2)
        number = face.name.removesuffix(".jpg")
        path = os.path.join(self.tables[split], f"{number}_lnd.npy")
        landmarks = read_npy(path, MAX_ARRAY_BYTES)
        return eyes_of_landmarks(landmarks).reshape(2, 2)

    def writer(self) -> AffectNetWriter:
        table = None if self.repackaged else self.tables["train"]
        folder = os.path.dirname(table) if table else self.manual_dir
        searched = [*self.machine_folders, self.machine_labels_dir]
        return AffectNetWriter(folder, searched, table)


def _tables(split):
    return [
        os.path.join(folder, name)
        for folder in TABLE_FOLDERS
        for name in TABLES[split]
    ]


class AffectNet(ManualFaces):
    """AffectNet's manually annotated images as TFDS prepares them; see
    `ManualFaces`. Class ids are in the order of `EXPRESSIONS_WITH_CONTEMPT`.

    Example:

    ```python
    config = AffectNetConfig(manual_dir="affectnet", base=True)
    train = tfds.load(
        "affect_net", split="train", builder_kwargs={"config": config}
    )
    ```

    Reference:

    - [Mollahosseini et al., 2017](https://arxiv.org/abs/1708.03985)
    """

    configuration = AffectNetConfig


def load_affectnet(
    data_dir: PathLike, split: str = "train", **options: Unpack[FaceOptions]
) -> LabelledImages:
    """Loads AffectNet with people's labels: eight expressions and affect.

    Images of no expression (none, uncertain, no face) are left out, and
    counted in `report.notes`.

    Args:
        data_dir: Folder of the tables and images; see `AffectNetConfig`.
        split: `"train"` or `"validation"`.
        **options: As of `load_raf`. With `alignment="given"`, faces are cut
            by the tables' boxes.

    Returns:
        A `LabelledImages` with the tasks `expression` (the seven classes of
        `EXPRESSIONS`, then contempt) and `affect`; clean labels are the
        labels.

    Raises:
        ValueError: if an argument is wrong, a file is missing, or, with
            `on_error="raise"`, an entry is bad.

    Example:

    >>> train = load_affectnet("affectnet", on_error="skip")
    >>> dataset = train.batches((64, 64, 3), batch_size=128, training=True)
    """
    config = AffectNetConfig(manual_dir=data_dir, **options)
    return config.load(split)


def load_affectnet_base(
    data_dir: PathLike, split: str = "train", **options: Unpack[BaseOptions]
) -> LabelledImages:
    """Loads AffectNet-base: expressions of a model made on RAF-DB.

    Images whose expression, as people label it, is one of the seven, and
    whose affect is known, as the authors choose them. Machine labels are
    joined by file name, expressions only: affect is always AffectNet's own,
    also with `machine` of one's own. A machine's expression that is none of
    the seven is a missing label, -1, counted in `report.notes`.

    Args:
        data_dir: As of `load_affectnet`.
        split: `"train"` or `"validation"`.
        **options: As of `load_raf_base`; the authors' machine is `RAFModel`,
            and its file `training_<machine>.csv`.

    Returns:
        A `LabelledImages` with the tasks `expression` and `affect`. Train:
        the machine's expressions, AffectNet's own affect; people's
        expressions are clean. Validation: people's labels, all of them
        clean.

    Raises:
        ValueError: as `load_affectnet`.
    """
    config = AffectNetConfig(manual_dir=data_dir, base=True, **options)
    return config.load(split)
