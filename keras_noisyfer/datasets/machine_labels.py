"""Labels of another model: a long CSV file, written and read onto any data."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.exchange import CLEAN
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.long_table import from_long
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.table import read_table
from keras_noisyfer.datasets.table_cells import read_csv
from keras_noisyfer.datasets.table_columns import parse_columns
from keras_noisyfer.datasets.table_tasks import (
    AFFECT,
    LONG_COLUMNS,
    infer_columns,
)
from keras_noisyfer.files import replacing
from keras_noisyfer.tasks import ContinuousTask, check_tasks
from keras_noisyfer.typing import PathLike, Tasks


def check_new_table(path: PathLike, data: LabelledImages) -> None:
    """Raises a `ValueError` if labels of these images, of an annotator who is
    called as the file, cannot be written to it: before any work."""
    path = pathlib.Path(path)
    if path.exists():
        raise ValueError(
            f"`path` must be that of a new CSV file. Received: {path}, which "
            "exists"
        )
    if not os.access(path.parent, os.W_OK):
        raise ValueError(
            "`path` must be in a folder that can be written to. "
            f"Received: {path}"
        )
    if path.stem == CLEAN:
        raise ValueError(
            "`path` must not be named clean, as the annotator whose labels "
            f"count as the truth. Received: {path}"
        )
    _check_names(data)


def write_table(path: PathLike, data: LabelledImages) -> None:
    """Writes what annotators said, as of `to_dataframe`."""
    table = data.to_dataframe()
    table = table[table["annotator"] != CLEAN]
    with replacing(path) as unfinished:
        table.to_csv(unfinished, index=False, lineterminator="\n")


def join_table(
    data: LabelledImages, path: PathLike, tasks: Tasks, on_error: str
) -> LabelledImages:
    """See `LabelledImages.with_machine_labels`."""
    _check_names(data)
    known = [*data.tasks, *(check_tasks(tasks) if tasks else ())]
    if "affect" not in [task.name for task in known]:
        known.append(ContinuousTask("affect", AFFECT))
    report = ImportReport(on_error)
    report.extend(data.report)
    frame = read_csv(path)
    columns = infer_columns(frame)
    if "value" not in columns:
        raise ValueError(
            f"{path} must have the columns {', '.join(LONG_COLUMNS)}, as "
            f"`relabel` writes them. Received: {one_line(', '.join(frame))}"
        )
    parsed = parse_columns(columns, known)
    cells, names = read_table(frame, parsed, known, str, report)
    found = pd.Index(data.names).get_indexer(names)
    cells = cells.assign(image=found[cells["image"]])
    cells = cells[cells["image"] >= 0]
    given = cells[~cells["clean"]]
    kept = np.unique(given["image"])
    if not len(kept):
        raise ValueError(
            f"{path} must have a label of an image of the data, such as "
            f"{data.names[0]}. Received: none"
        )
    others = np.setdiff1d(range(len(data)), kept)
    missing = [data.names[index] for index in others]
    tell_unmatched(missing, len(data), (found < 0).sum(), path, report)
    cells = cells[cells["image"].isin(kept)]
    data = data.select(kept)
    machine = from_long(
        cells.assign(image=np.searchsorted(kept, cells["image"])),
        data.images,
        [task for task in known if (given["task"] == task.name).any()],
        report,
        max_annotators=None,
    )
    both = [*data.tasks, *machine.tasks]
    return LabelledImages(
        data.images,
        data.labels | machine.labels,
        [*{task.name: task for task in both}.values()],
        data.clean | machine.clean,
        data.extras,
        report,
        data.annotators | machine.annotators,
    )


def tell_unmatched(
    missing: Sequence[str],
    count: int,
    surplus: int,
    path: PathLike,
    report: ImportReport,
) -> None:
    """Rejects the images, of so many, that a file has no label of, and notes
    how many of its labels are of no image."""
    if surplus:
        note = f"machine labels of no image, {os.path.basename(path)}"
        report.notes[note] = int(surplus)
    found = count - len(missing)
    for name in missing:
        labels = f"{path} has labels of {found:,} of {count:,} images"
        report.reject(name, "no machine label", labels)


def _check_names(data):
    if len(set(data.names)) < len(data):
        raise ValueError(
            "`data` must have images of different names, by which their labels "
            f"are joined. Received: {len(set(data.names))} names of "
            f"{len(data)} images"
        )
