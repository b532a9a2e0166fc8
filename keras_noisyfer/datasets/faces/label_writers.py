"""Labels of one more annotator, written next to those a data set has."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_noisyfer.datasets.exchange import CLEAN
from keras_noisyfer.datasets.faces.expressions import (
    AFFECT_DIMENSIONS,
    AFFECTNET_EXPRESSIONS,
    EXPRESSIONS_WITH_CONTEMPT,
    RAF_EXPRESSIONS,
    to_file_ids,
)
from keras_noisyfer.datasets.faces.label_files import (
    AFFECTNET_COLUMNS,
    MISSING_AFFECT,
    NAME_COLUMN,
    read_affectnet_table,
)
from keras_noisyfer.datasets.pipeline import check_labels
from keras_noisyfer.files import replacing
from keras_noisyfer.typing import Labels, PathLike, Tasks

if TYPE_CHECKING:
    from keras_noisyfer.datasets.table_columns import Columns


class LabelWriter:
    """Base of the writers; a subclass names the files in `folder` and says
    what is in them.

    Args:
        folder: The folder.
        searched: Further folders that such files are read from.
        table: Table that other columns are taken from, or None.
    """

    # Names of the tasks that the format has; None: any.
    tasks: tuple[str, ...] | None = None
    # Those of them that cannot be left out, and why.
    required: tuple[str, ...] = ()
    reason: str | None = None

    def __init__(
        self,
        folder: PathLike,
        searched: Iterable[PathLike | None] = (),
        table: PathLike | None = None,
    ):
        self.folder = pathlib.Path(folder)
        self.searched = [pathlib.Path(each) for each in searched if each]
        self.table = table

    def files(self, annotator: str) -> list[str]:
        """Names of the files."""
        raise NotImplementedError

    def _texts(self, annotator, names, tasks, labels):
        """What is to stand in each file; arguments as of `write`."""
        raise NotImplementedError

    def check(self, annotator: str, tasks: Iterable[str]) -> None:
        """Raises a `ValueError` if labels of an annotator, whose name is a
        part of the files' names, cannot be written, before any work."""
        if not isinstance(annotator, str) or not annotator.isidentifier():
            raise ValueError(
                "`name` must be letters, digits and underscores, since it "
                f"becomes part of a file name. Received: {annotator!r}"
            )
        known = self.tasks or tasks
        unknown = set(tasks) - set(known)
        if unknown:
            raise ValueError(
                f"The label files hold the tasks {', '.join(known)}. "
                f"Received: {', '.join(sorted(unknown))}"
            )
        if set(self.required) - set(tasks):
            raise ValueError(
                f"`tasks` must have {' and '.join(self.required)}, since "
                f"{self.reason}. Received: {', '.join(sorted(tasks))}"
            )
        # A file in any of the folders might be read in place of the new one.
        folders = (self.folder, *self.searched)
        for path in (f / n for f in folders for n in self.files(annotator)):
            if path.exists():
                raise ValueError(
                    "`name` must be that of an annotator without label files. "
                    f"Received: {annotator!r}, whose {path} exists"
                )
        if not os.access(self.folder, os.W_OK):
            raise ValueError(
                f"{self.folder} must be a folder that can be written to"
            )

    def write(
        self, annotator: str, names: Sequence[str], tasks: Tasks, labels: Labels
    ) -> None:
        """Writes the labels of the images with these names: a dict by task
        name of arrays of shape `(n, 1)` or `(n, 1, dimensions)`, none of them
        missing."""
        labels = check_labels(labels, tasks)
        for task in tasks:
            task.check_values(labels[task.name], allow_missing=False)
        counts = {len(array) for array in labels.values()}
        if counts != {len(names)} or len(set(names)) < len(names):
            raise ValueError(
                "`names` must not repeat, and `names` and labels must be of "
                f"one length. Received: {len(names)} names, "
                f"{', '.join(map(str, sorted(counts)))} labels"
            )
        texts = self._texts(annotator, names, tasks, labels)
        for file, text in zip(self.files(annotator), texts, strict=True):
            with replacing(self.folder / file) as unfinished:
                unfinished.write_text(text, "utf-8", newline="")


class RafWriter(LabelWriter):
    """`list_label_<annotator>.txt` and `list_va_<annotator>.txt`."""

    tasks = ("expression", "affect")
    required = tasks
    reason = "`load_raf_base` reads a file of each"

    def files(self, annotator: str) -> list[str]:
        return [f"list_{kind}_{annotator}.txt" for kind in ("label", "va")]

    def _texts(self, annotator, names, tasks, labels):
        file_ids = to_file_ids(labels["expression"], RAF_EXPRESSIONS)
        affect = labels["affect"][:, 0].astype("float64")
        return [
            "".join(
                f"{name} {' '.join(map(repr, values))}\n"
                for name, values in zip(names, array.tolist(), strict=True)
            )
            for array in (file_ids, affect)
        ]


class AffectNetWriter(LabelWriter):
    """`training_<annotator>.csv` with AffectNet's columns."""

    tasks = ("expression", "affect")
    required = ("expression",)
    reason = "`load_affectnet_base` takes the machine's expressions only"

    def files(self, annotator: str) -> list[str]:
        return [f"training_{annotator}.csv"]

    def _texts(self, annotator, names, tasks, labels):
        ids = to_file_ids(
            labels["expression"][:, 0],
            AFFECTNET_EXPRESSIONS,
            EXPRESSIONS_WITH_CONTEMPT,
        )
        if self.table is None:
            table = pd.DataFrame("", names, AFFECTNET_COLUMNS, dtype=object)
            table[[*AFFECT_DIMENSIONS]] = MISSING_AFFECT
        else:
            table = read_affectnet_table(self.table, AFFECTNET_COLUMNS)
            table = table[~table.index.duplicated()]
            lost = sorted({*names}.difference(table.index))
            if lost:
                raise ValueError(
                    f"`names` must stand in {self.table}. Received: {lost[0]} "
                    f"and {len(lost) - 1} others that do not"
                )
            table = table[table.index.isin(names)]
        order = pd.Index(names).get_indexer(table.index)
        table = table.assign(
            **{NAME_COLUMN: table.index, "expression": ids[order]}
        )
        if "affect" in labels:
            affect = labels["affect"][order, 0]
            table[[*AFFECT_DIMENSIONS]] = affect.astype(str)
        columns = [*AFFECTNET_COLUMNS]
        return [table[columns].to_csv(index=False, lineterminator="\n")]


class CsvWriter(LabelWriter):
    """`<table>_<annotator>.csv`, in the form of the table.

    Wide: the column of images, and for each task a column
    `<task>.<annotator>`, or one a dimension, `<dimension>.<annotator>`
    (`<task>_<dimension>.<annotator>` where two would be called alike). Long:
    rows with the annotator's name, which can be put below the table's own.

    Args:
        table: The CSV file that the labels came from.
        columns: Its `Columns`.
        with_ids: Names of the tasks whose cells are class ids.
    """

    def __init__(
        self, table: PathLike, columns: Columns, with_ids: Iterable[str] = ()
    ):
        table = pathlib.Path(table)
        super().__init__(table.parent)
        self.stem = table.stem
        self.columns = columns
        self.with_ids = with_ids

    def files(self, annotator: str) -> list[str]:
        return [f"{self.stem}_{annotator}.csv"]

    def check(self, annotator: str, tasks: Iterable[str]) -> None:
        super().check(annotator, tasks)
        columns = self.columns
        if columns.annotator and annotator in (CLEAN, columns.clean):
            raise ValueError(
                "`name` must not be that of the annotator whose labels count "
                f"as the truth. Received: {annotator!r}"
            )

    def _texts(self, annotator, names, tasks, labels):
        cells = {}
        for task in tasks:
            values = labels[task.name][:, 0]
            if values.ndim == 2:
                slots = [(task.name, each) for each in task.dimensions]
                cells.update(zip(slots, values.T, strict=True))
            elif task.class_names and task.name not in self.with_ids:
                cells[task.name, None] = np.array(task.class_names)[values]
            else:
                cells[task.name, None] = values
        columns = self.columns
        if columns.value is None:
            titles = [dimension or task for task, dimension in cells]
            table = pd.DataFrame({columns.image: names})
            for title, (slot, values) in zip(
                titles, cells.items(), strict=True
            ):
                if slot[1] and titles.count(title) > 1:
                    title = "_".join(slot)
                table[f"{title}.{annotator}"] = values
        else:
            parts = [
                {
                    columns.image: names,
                    columns.annotator: annotator,
                    columns.task: ".".join(filter(None, slot)),
                    # Else ids beside values would become floats.
                    columns.value: values.astype(str),
                }
                for slot, values in cells.items()
            ]
            table = pd.concat(map(pd.DataFrame, parts))
            if columns.task is None:
                table = table.iloc[:, [0, 1, 3]]
        return [table.to_csv(index=False, lineterminator="\n")]
