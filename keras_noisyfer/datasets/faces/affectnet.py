"""AffectNet, faces with expression and affect, and AffectNet-base."""

import dataclasses
import os

from keras_noisyfer.datasets.faces.expressions import (
    AFFECT_DIMENSIONS,
    EXPRESSIONS,
    EXPRESSIONS_WITH_CONTEMPT,
    affect_task,
    expression_task,
)
from keras_noisyfer.datasets.faces.label_files import (
    read_affectnet_annotations,
    read_affectnet_labels,
)
from keras_noisyfer.datasets.faces.label_writers import AffectNetWriter
from keras_noisyfer.datasets.faces.manual_builder import ManualFaces, load_faces
from keras_noisyfer.datasets.faces.manual_config import (
    FaceSplit,
    ManualConfig,
    join_machine_labels,
    reject_unlabelled,
)
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.typing import PathLike

SPLITS = ("train", "validation")
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
    authors_machine = MACHINE

    def find_files(self) -> None:
        folders = {
            split: os.path.join(self.manual_dir, name, "annotations")
            for split, name in SET_FOLDERS.items()
        }
        self.tables = {}
        # The tables win where there are both.
        self.repackaged = os.path.isdir(folders["train"]) and not any(
            os.path.isfile(os.path.join(self.manual_dir, folder, name))
            for folder in TABLE_FOLDERS
            for name in TABLES["train"]
        )
        for split, names in TABLES.items():
            if self.repackaged:
                candidates = [f"{SET_FOLDERS[split]}/annotations"]
            else:
                candidates = [
                    os.path.join(folder, name)
                    for folder in TABLE_FOLDERS
                    for name in names
                ]
            self.tables[split] = self.find(
                candidates, f"its {split} labels", isdir=self.repackaged
            )
        if self.repackaged:
            candidates = [[f"{each}/images"] for each in SET_FOLDERS.values()]
        else:
            candidates = [IMAGE_FOLDERS] * len(SPLITS)
        self.image_roots = {
            split: self.find(each, "the images", isdir=True)
            for split, each in zip(SPLITS, candidates, strict=True)
        }
        if self.base:
            try:
                self.machine_table = self.find_machine_labels(
                    f"training_{self.machine}.csv"
                )
            except ValueError as error:
                if self.repackaged and self.machine == MACHINE:
                    raise ValueError(f"{error}. {NUMBERED}") from None
                raise

    def face_files(self) -> list[str]:
        return list(self.tables.values())

    def machine_files(self) -> list[str]:
        return [self.machine_table] if self.base else []

    def image_folders(self) -> list[str]:
        return list(dict.fromkeys(self.image_roots.values()))

    def machine_folders(self) -> list[str]:
        return [os.path.join(self.manual_dir, f) for f in MACHINE_FOLDERS]

    def read(self, report: ImportReport) -> dict[str, FaceSplit]:
        splits = (
            self._read_sets(report)
            if self.repackaged
            else self._read_tables(report)
        )
        named = {
            split: [*each.faces.index, *each.faces.attrs.pop("rejected")]
            for split, each in splits.items()
        }
        for split, each in splits.items():
            each.faces = self._select(split, each.faces, report)
        if self.base:
            train = splits["train"]
            train.faces = self._with_machine_labels(
                train.faces, report, named["train"]
            )
        return splits

    def _select(self, split, faces, report):
        """Images of one of the classes; with `base` as the release does."""
        classes = EXPRESSIONS if self.base else EXPRESSIONS_WITH_CONTEMPT
        chosen = faces.expression.between(0, len(classes) - 1)
        what = f"of none of the {len(classes)} expressions"
        if self.base:
            chosen &= faces[[*AFFECT_DIMENSIONS]].notna().all(axis=1)
            what += ", or without affect"
        if not chosen.all():
            report.notes[f"{split} images left out, {what}"] = int(
                (~chosen).sum()
            )
        return faces[chosen]

    def _with_machine_labels(self, faces, report, known):
        path = self.machine_table
        machine = read_affectnet_labels(path, report, classes=len(EXPRESSIONS))
        machine = machine.drop(columns=[*AFFECT_DIMENSIONS])
        if self.repackaged and not faces.index.isin(machine.index).any():
            raise ValueError(f"{path} names none of the images. {NUMBERED}")
        faces = join_machine_labels(faces, machine, report, path, known)
        other = ~faces.machine_expression.between(0, len(EXPRESSIONS) - 1)
        if other.any():
            faces.loc[other, "machine_expression"] = -1
            note = f"machine labels of none of the {len(EXPRESSIONS)} "
            report.notes[f"{note}expressions, missing"] = int(other.sum())
        return faces

    def _read_tables(self, report):
        image_root = self.image_roots["train"]
        splits = {}
        for split, path in self.tables.items():
            faces = read_affectnet_labels(path, report, faces=True)
            faces["path"] = faces.index
            splits[split] = FaceSplit(image_root, faces)
        folders = {
            os.path.join(image_root, os.path.dirname(name))
            for each in splits.values()
            for name in each.faces.index
        }
        labelled = [
            name
            for each in splits.values()
            for name in (*each.faces.index, *each.faces.attrs["rejected"])
        ]
        if not any(map(os.path.isdir, folders)):
            for each in splits.values():
                each.faces["path"] = each.faces.index.map(os.path.basename)
            labelled = map(os.path.basename, labelled)
        reject_unlabelled(image_root, labelled, report)
        return splits

    def _read_sets(self, report):
        splits = {}
        for split, folder in self.tables.items():
            image_root = self.image_roots[split]
            faces = read_affectnet_annotations(
                folder, report, eyes=self.alignment == "eyes"
            )
            labelled = [*faces.index, *faces.attrs["rejected"]]
            reject_unlabelled(image_root, labelled, report)
            faces["path"] = faces.index
            splits[split] = FaceSplit(image_root, faces)
        return splits


class AffectNet(ManualFaces):
    """AffectNet's manually annotated images, from a folder of the user's.

    Nothing is downloaded. An example holds `image`, a JPEG image of
    `image_size`; `file_name`, as in the tables; `expression`, a class id in
    the order of `EXPRESSIONS_WITH_CONTEMPT`; `affect`, valence and arousal;
    with `base`, in the training split, `machine_expression`. Missing are -1
    and NaN; `machine_affect` always is.

    Args:
        config: An `AffectNetConfig`.
        data_dir: Folder that the prepared files go to. Aligned faces go to
            `aligned` in it, so that a stopped preparation goes on there.

    Example:

    ```python
    config = AffectNetConfig(manual_dir="affectnet", base=True)
    builder = AffectNet(config=config)
    builder.download_and_prepare()
    train = builder.as_dataset(split="train")
    ```

    Reference:

    - [Mollahosseini et al., 2017](https://arxiv.org/abs/1708.03985)
    """

    VERSION = ManualFaces.VERSION
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Ask for AffectNet at http://mohammadmahoor.com/affectnet/ and unpack
    its tables and images into one folder. Then give
    `AffectNetConfig(manual_dir=...)`.
    """


def load_affectnet(
    data_dir: PathLike,
    split: str = "train",
    *,
    image_size: int = 64,
    alignment: str = "eyes",
    cache_dir: PathLike | None = None,
    on_error: str = "raise",
) -> LabelledImages:
    """Loads AffectNet with people's labels: eight expressions and affect.

    The first call prepares the images, which takes a while. Images of no
    expression (none, uncertain, no face) are left out, and counted in
    `report.notes`.

    Args:
        data_dir: Folder of the tables and images; see `AffectNetConfig`.
        split: `"train"` or `"validation"`.
        image_size: Width and height of the prepared images in pixels.
        alignment: `"eyes"`: faces cut so that the eyes are at fixed places.
            `"given"`: faces cut by the tables' boxes.
        cache_dir: Folder that prepared images go to; by default that of
            TFDS, `~/tensorflow_datasets`.
        on_error: `"raise"` at the first bad entry, or `"skip"` and count:
            `report` tells of those of both splits.

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
    config = AffectNetConfig(
        manual_dir=data_dir,
        alignment=alignment,
        image_size=image_size,
        on_error=on_error,
    )
    tasks = [expression_task(EXPRESSIONS_WITH_CONTEMPT), affect_task()]
    return _load(config, split, cache_dir, tasks)


def load_affectnet_base(
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
    """Loads AffectNet-base: expressions of a model made on RAF-DB.

    Images whose expression, as people label it, is one of the seven, and
    whose affect is known, as the authors choose them. Machine labels are
    joined by file name, expressions only: affect is always AffectNet's own,
    also with `machine` of one's own. A machine's expression that is none of
    the seven is a missing label, -1, counted in `report.notes`.

    Args:
        data_dir: As of `load_affectnet`.
        split: `"train"` or `"validation"`.
        machine: Name of the model whose labels to take: those that `relabel`
            wrote have the name that was given there.
        machine_labels_dir: Folder with `training_<machine>.csv`. By default
            it is looked for in `data_dir`, see `AffectNetConfig`.
        image_size: As of `load_affectnet`.
        alignment: As of `load_affectnet`.
        cache_dir: As of `load_affectnet`.
        on_error: As of `load_affectnet`; an image without a machine label is
            a bad entry.

    Returns:
        A `LabelledImages` with the tasks `expression` and `affect`. Train:
        the machine's expressions, AffectNet's own affect; people's
        expressions are clean. Validation: people's labels, all of them
        clean.

    Raises:
        ValueError: as `load_affectnet`.

    Example:

    >>> train = load_affectnet_base("affectnet", on_error="skip")
    """
    config = AffectNetConfig(
        manual_dir=data_dir,
        base=True,
        machine=machine,
        machine_labels_dir=machine_labels_dir,
        alignment=alignment,
        image_size=image_size,
        on_error=on_error,
    )
    tasks = [expression_task(), affect_task()]
    return _load(config, split, cache_dir, tasks, ["expression"])


def _load(config, split, cache_dir, tasks, machine=()):
    table = None if config.repackaged else config.tables["train"]
    folder = os.path.dirname(table) if table else config.manual_dir
    writer = AffectNetWriter(folder, table, config.searched_folders())
    return load_faces(
        AffectNet, SPLITS, config, split, cache_dir, tasks, machine, writer
    )
