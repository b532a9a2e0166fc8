"""AffectNet, faces with expression and affect, and AffectNet-base."""

import dataclasses
import os
from typing import Any

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
    landmark_eyes,
    read_affectnet_annotations,
    read_affectnet_labels,
)
from keras_noisyfer.datasets.faces.manual_builder import ManualFaces
from keras_noisyfer.datasets.faces.manual_config import (
    ManualConfig,
    reject_unlabelled,
)
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import read_npy
from keras_noisyfer.typing import PathLike, Tasks

# Folder of the repackaged form, and tables.
FILES = {
    "train": ("train_set", "training.csv"),
    "validation": ("val_set", "validation.csv", "validate.csv"),
}
TABLE_FOLDERS = ("", "Manually_Annotated_file_lists/")
IMAGE_FOLDERS = (
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
)
NUMBERED = (
    "This copy of AffectNet has numbers for names (train_set/images/0.jpg), "
    "so the published training_RAFModel.csv cannot be joined to it. Load it "
    'with `machine="people"`: `relabel` makes machine labels for it'
)


@dataclasses.dataclass(eq=False, kw_only=True)
class AffectNetConfig(ManualConfig):
    """How AffectNet is prepared; the arguments are those of `load_raf`."""

    kind = "affectnet"
    title = "AffectNet"
    source = "Ask for AffectNet at http://mohammadmahoor.com/affectnet/"
    splits = ("train", "validation")
    authors_machine = "RAFModel"

    @property
    def tasks(self) -> Tasks:
        classes = EXPRESSIONS if self.base else EXPRESSIONS_WITH_CONTEMPT
        return [expression_task(classes), affect_task()]

    def find_files(self) -> None:
        self.tables, self.image_roots = {}, {}
        for split, (folder, *names) in FILES.items():
            # The tables win where there are both.
            tables = [f"{f}{name}" for f in TABLE_FOLDERS for name in names]
            tables.append(f"{folder}/annotations")
            path = self.find(f"its {split} labels", tables)
            repackaged = os.path.isdir(path)
            images = [f"{folder}/images"] if repackaged else IMAGE_FOLDERS
            self.tables[split] = path
            self.image_roots[split] = self.find("the images", images)
        self.face_files = list(self.tables.values())
        if self.has_machine:
            if os.path.isdir(self.tables["train"]):
                raise ValueError(NUMBERED)
            folders = [*TABLE_FOLDERS, "EmoLabel", "noisy_labels"]
            name = f"training_{self.machine}.csv"
            self.machine_files = [self.find_machine_labels(name, folders)]

    def read(self, report: ImportReport) -> dict[str, pd.DataFrame]:
        faces, listed = {}, {}
        for split, path in self.tables.items():
            if os.path.isdir(path):
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
        for root in dict.fromkeys(self.image_roots.values()):
            splits = [s for s, each in self.image_roots.items() if each == root]
            labelled = [path_of(name) for s in splits for name in listed[s]]
            reject_unlabelled(root, labelled, report)
        if self.has_machine:
            faces["train"] = self._with_machine_labels(
                faces["train"], report, listed["train"]
            )
        for each in faces.values():
            each["path"] = [path_of(name) for name in each.index]
        return faces

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
        return faces[chosen].copy()

    def _with_machine_labels(self, faces, report, known):
        (path,) = self.machine_files
        count = self.tasks[0].num_classes
        machine = read_affectnet_labels(path, report, classes=count)
        machine = machine.drop(columns=[*AFFECT_DIMENSIONS])
        faces = self.join_machine_labels(faces, machine, report, path, known)
        other = ~faces["machine_expression"].between(0, count - 1)
        if other.any():
            faces.loc[other, "machine_expression"] = -1
            note = f"machine labels of none of the {count} expressions, missing"
            report.notes[note] = int(other.sum())
        return faces

    def eyes(self, split: str, face: pd.Series) -> np.ndarray:
        if EYE_COLUMNS[0] in face:
            return face[EYE_COLUMNS].to_numpy("float64").reshape(2, 2)
        number = face.name.removesuffix(".jpg")
        path = os.path.join(self.tables[split], f"{number}_lnd.npy")
        return landmark_eyes(read_npy(path, MAX_ARRAY_BYTES))


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
    data_dir: PathLike, split: str = "train", **options: Any
) -> LabelledImages:
    """Loads AffectNet, or AffectNet-base of the paper.

    AffectNet has people's labels of eight expressions and of affect. Images of
    no expression (none, uncertain, no face) are left out, and counted in
    `report.notes`.

    AffectNet-base has the images whose expression, as people label it, is one
    of the seven, and whose affect is known, as the authors choose them. Its
    training images have the expressions that a model made on RAF-DB gave
    them, joined by file name; one that is none of the seven is a missing
    label, counted in `report.notes`. Affect is always AffectNet's own.

    Args:
        data_dir: Folder that holds AffectNet in one of two forms, of which the
            first is looked for first:

            - `training.csv` and `validation.csv` (or `validate.csv`), or these
              in `Manually_Annotated_file_lists`; images in
              `Manually_Annotated_Images` or
              `Manually_Annotated/Manually_Annotated_Images`, in the folders
              that the tables name or all in one; with `base`, the authors'
              `training_RAFModel.csv` there, in
              `Manually_Annotated_file_lists`, `EmoLabel` or `noisy_labels`;
            - repackaged: `train_set` and `val_set`, each with `images/0.jpg`
              and `annotations/0_exp.npy`, `0_val.npy`, `0_aro.npy` and
              `0_lnd.npy`. Published labels of machines do not fit its names.
        split: `"train"` or `"validation"`.
        **options: As of `load_raf`; the authors' machine is `RAFModel`. With
            `alignment="given"`, faces are cut out by the tables' boxes; the
            repackaged images are taken as they are, and need no `0_lnd.npy`.

    Returns:
        A `LabelledImages` with the tasks `expression` (the seven classes of
        `EXPRESSIONS`, then contempt) and `affect`; clean labels are the
        labels. With `base`, of the seven classes; in training, people's
        expressions are the clean labels.

    Raises:
        ValueError: if an argument is wrong, a file is missing, or, with
            `on_error="raise"`, an entry is bad.

    Example:

    >>> train = load_affectnet("affectnet", base=True, on_error="skip")
    >>> dataset = train.batches((64, 64, 3), batch_size=128, training=True)
    """
    return AffectNetConfig(manual_dir=data_dir, **options).load(split)
