"""Labels of one more annotator, written next to a CSV file of labels."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_noisyfer.datasets.faces.label_files import replacing
from keras_noisyfer.datasets.faces.label_writers import LabelWriter
from keras_noisyfer.datasets.table_tasks import CLEAN
from keras_noisyfer.typing import Labels, PathLike, Tasks

if TYPE_CHECKING:
    from keras_noisyfer.datasets.table_columns import Columns


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
        with replacing(self.folder / self.files(annotator)["labels"]) as file:
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
