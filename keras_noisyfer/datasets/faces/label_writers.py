"""Labels of one more annotator, written next to those a data set has."""

from __future__ import annotations

import contextlib
import csv
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

import numpy as np

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
    affectnet_rows,
    clean_name,
)
from keras_noisyfer.typing import ArrayLike, Labels, PathLike, Tasks

if TYPE_CHECKING:
    from keras_noisyfer.datasets.table_columns import Columns


class LabelWriter:
    """Base of the writers; a subclass names the files and writes them to
    `folder`. Such files are read from the folders `searched`, too."""

    # Names of the tasks that the format has; None: any.
    tasks: tuple[str, ...] | None = None
    # Those of them that cannot be left out, and why.
    required: tuple[str, ...] = ()
    reason: str | None = None

    def __init__(self, folder: PathLike, searched: Iterable[PathLike] = ()):
        self.folder = pathlib.Path(folder)
        self.searched = [pathlib.Path(each) for each in searched]

    def files(self, annotator: str) -> dict[str, str]:
        """Names of the files, by what they hold."""
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
        for folder in (self.folder, *self.searched):
            for name in self.files(annotator).values():
                if (folder / name).exists():
                    raise ValueError(
                        "`name` must be that of an annotator without label "
                        f"files. Received: {annotator!r}, whose "
                        f"{folder / name} exists"
                    )
        if not os.access(self.folder, os.W_OK):
            raise ValueError(
                f"{self.folder} must be a folder that can be written to"
            )

    def write(
        self, annotator: str, names: Sequence[str], tasks: Tasks, labels: Labels
    ) -> None:
        """Writes the labels of the images with these names, a dict by task
        name of arrays of shape `(n, 1)` or `(n, 1, dimensions)`."""
        raise NotImplementedError


class RafWriter(LabelWriter):
    """`list_label_<annotator>.txt` and `list_va_<annotator>.txt`."""

    tasks = ("expression", "affect")
    required = tasks
    reason = "`load_raf_base` reads a file of each"

    def files(self, annotator: str) -> dict[str, str]:
        return {
            "expression": f"list_label_{annotator}.txt",
            "affect": f"list_va_{annotator}.txt",
        }

    def write(
        self, annotator: str, names: Sequence[str], tasks: Tasks, labels: Labels
    ) -> None:
        files = self.files(annotator)
        for task, write in (
            ("expression", write_raf_expressions),
            ("affect", write_raf_affect),
        ):
            write(self.folder / files[task], names, labels[task][:, 0])


class AffectNetWriter(LabelWriter):
    """`training_<annotator>.csv` with AffectNet's columns.

    Args:
        table: Table of which the other columns are taken, or None.
    """

    tasks = ("expression", "affect")
    required = ("expression",)
    reason = "`load_affectnet_base` takes the machine's expressions only"

    def __init__(
        self,
        folder: PathLike,
        table: PathLike | None = None,
        searched: Iterable[PathLike] = (),
    ):
        super().__init__(folder, searched)
        self.table = table

    def files(self, annotator: str) -> dict[str, str]:
        return {"labels": f"training_{annotator}.csv"}

    def write(
        self, annotator: str, names: Sequence[str], tasks: Tasks, labels: Labels
    ) -> None:
        path = self.folder / self.files(annotator)["labels"]
        expressions = labels["expression"][:, 0]
        affect = labels["affect"][:, 0] if "affect" in labels else None
        write_affectnet_labels(path, names, expressions, affect, self.table)


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
        self,
        table: PathLike,
        columns: Columns,
        with_ids: Iterable[str] = (),
    ):
        table = pathlib.Path(table)
        super().__init__(table.parent)
        self.stem = table.stem
        self.columns = columns
        self.with_ids = with_ids

    def files(self, annotator: str) -> dict[str, str]:
        return {"labels": f"{self.stem}_{annotator}.csv"}

    def check(self, annotator: str, tasks: Iterable[str]) -> None:
        super().check(annotator, tasks)
        columns = self.columns
        if columns.annotator and annotator in (CLEAN, columns.clean):
            raise ValueError(
                "`name` must not be that of the annotator whose labels count "
                f"as the truth. Received: {annotator!r}"
            )

    def write(
        self, annotator: str, names: Sequence[str], tasks: Tasks, labels: Labels
    ) -> None:
        cells = {}
        for task in tasks:
            values = labels[task.name][:, 0]
            if values.ndim == 2:
                for dimension, column in zip(
                    task.dimensions, values.T, strict=True
                ):
                    cells[task.name, dimension] = column
            elif task.class_names and task.name not in self.with_ids:
                cells[task.name, None] = np.array(task.class_names)[values]
            else:
                cells[task.name, None] = values
        if self.columns.value is not None:
            header, rows = self._long(annotator, names, cells)
        else:
            titles = [dimension or task for task, dimension in cells]
            titles = [
                f"{task}_{dimension}"
                if dimension and titles.count(dimension) > 1
                else title
                for (task, dimension), title in zip(cells, titles, strict=True)
            ]
            header = [self.columns.image]
            header += [f"{title}.{annotator}" for title in titles]
            rows = zip(names, *cells.values(), strict=True)
        with _replacing(self.folder / self.files(annotator)["labels"]) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)

    def _long(self, annotator, names, cells):
        columns = self.columns
        header = [columns.image, columns.annotator, columns.value]
        has_task = columns.task is not None
        if has_task:
            header.insert(2, columns.task)
        rows = []
        for (task, dimension), values in cells.items():
            what = f"{task}.{dimension}" if dimension else task
            what = [what] * has_task
            rows += [
                [name, annotator, *what, value]
                for name, value in zip(names, values, strict=True)
            ]
        return header, rows


def write_raf_expressions(
    path: PathLike, names: Sequence[str], expressions: ArrayLike
) -> None:
    """Writes the format of `list_label_AffectnetModel.txt`: class ids in the
    order of `EXPRESSIONS`, shape `(n,)`, none of them missing."""
    file_ids = to_file_ids(expressions, RAF_EXPRESSIONS)
    _write_list(path, names, [f"{file_id}" for file_id in file_ids])


def write_raf_affect(
    path: PathLike, names: Sequence[str], affect: ArrayLike
) -> None:
    """Writes the format of `list_va_AffectnetModel.txt`: valence and arousal
    in [-1, 1], shape `(n, 2)`, none of them missing."""
    affect = _check_affect(affect)
    if np.isnan(affect).any():
        raise ValueError("`affect` must not be missing. Received: NaN")
    _write_list(path, names, [f"{v!r} {a!r}" for v, a in affect.tolist()])


def write_affectnet_labels(
    path: PathLike,
    names: Sequence[str],
    expressions: ArrayLike | None = None,
    affect: ArrayLike | None = None,
    source: PathLike | None = None,
) -> None:
    """Writes the format of `training_RAFModel.csv`.

    Args:
        path: The `.csv` file to write.
        names: File names, one an image, as they stand in `source`.
        expressions: Class ids in the order of `EXPRESSIONS_WITH_CONTEMPT`,
            shape `(n,)`. By default those of `source` stay.
        affect: Valence and arousal in [-1, 1], NaN where missing, shape
            `(n, 2)`. By default those of `source` stay.
        source: The table that all other columns are taken from, such as
            `training.csv`; its rows of other images are left out. By default
            the other columns are empty.

    Raises:
        ValueError: if an expression is missing, a value is out of range,
            numbers differ, or `source` lacks a name.
    """
    names = list(names)
    changes = {}
    if expressions is not None:
        changes["expression"] = to_file_ids(
            expressions, AFFECTNET_EXPRESSIONS, EXPRESSIONS_WITH_CONTEMPT
        )
    if affect is not None:
        affect = np.where(np.isnan(affect), MISSING_AFFECT, affect)
        changes.update(zip(AFFECT_DIMENSIONS, affect.T, strict=True))
        _check_affect(np.where(affect == MISSING_AFFECT, np.nan, affect))
    for array in changes.values():
        _check_count(names, array)
    if len(set(names)) < len(names) or not changes:
        raise ValueError(
            "`names` must not repeat, and `expressions` or `affect` must be "
            f"given. Received: {len(names)} names, {list(changes)}"
        )
    # As Python's own numbers each is written in full.
    columns = [array.tolist() for array in changes.values()]
    left = dict(zip(names, zip(*columns, strict=True), strict=True))
    empty = dict.fromkeys(AFFECT_DIMENSIONS, MISSING_AFFECT)
    with _replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(AFFECTNET_COLUMNS)

        def write(row, values):
            row |= dict(zip(changes, values, strict=True))
            writer.writerow([row.get(each, "") for each in AFFECTNET_COLUMNS])

        if source is None:
            for name in names:
                write({NAME_COLUMN: name, **empty}, left.pop(name))
            return
        # Last comes what a row has too much.
        for cells in affectnet_rows(source, AFFECTNET_COLUMNS):
            values = left.pop(clean_name(cells[0]), None)
            if values is not None:
                write(dict(zip(AFFECTNET_COLUMNS, cells, strict=False)), values)
        if left:
            raise ValueError(
                f"`names` must stand in {source}. Received: {min(left)}"
                f" and {len(left) - 1} others that do not"
            )


def _write_list(path, names, values):
    names = list(names)
    _check_count(names, values)
    with _replacing(path) as file:
        file.writelines(
            f"{name} {value}\n"
            for name, value in zip(names, values, strict=True)
        )


def _check_affect(affect):
    """Valence and arousal as float64; a `ValueError` if they are none."""
    affect = np.asarray(affect, "float64")
    if affect.ndim != 2 or affect.shape[1] != 2 or (np.abs(affect) > 1).any():
        raise ValueError(
            "`affect` must be of shape (n, 2) and in [-1, 1]. Received: "
            f"shape={affect.shape}, largest={np.nanmax(np.abs(affect))}"
        )
    return affect


def _check_count(names, array):
    """Raises a `ValueError` unless there is one label a name."""
    if len(names) != len(array):
        raise ValueError(
            "`names` and labels must be of one length. "
            f"Received: {len(names)} names, {len(array)} labels"
        )


@contextlib.contextmanager
def _replacing(path: PathLike) -> Iterator[TextIO]:
    """A file that takes its place only once it is whole."""
    partial = f"{os.fspath(path)}.partial"
    try:
        with open(partial, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(partial)
