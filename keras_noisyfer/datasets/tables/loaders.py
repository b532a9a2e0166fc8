"""Your own data: labels in a table or a CSV file, images in a folder."""

import math
import os
import re
from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import check_number, one_line
from keras_noisyfer.datasets.image_files import check_image_files, list_images
from keras_noisyfer.datasets.image_sources import ImageFiles
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.tables.cells import cell_text
from keras_noisyfer.datasets.tables.columns import LongColumns, parse_columns
from keras_noisyfer.datasets.tables.crowds import crowd_streams
from keras_noisyfer.datasets.tables.csv_rows import read_header, read_rows
from keras_noisyfer.datasets.tables.csv_writer import CsvWriter
from keras_noisyfer.datasets.tables.table_rows import LongRows, WideRows
from keras_noisyfer.tasks import CategoricalTask, check_tasks
from keras_noisyfer.typing import PathLike, Tasks


def from_dataframe(
    df: pd.DataFrame,
    image_root: PathLike,
    tasks: Tasks,
    columns: dict[str, Any],
    *,
    on_error: str = "raise",
    max_annotators: int | None = 5,
    streams: int = 3,
    seed: int = 0,
    decode: bool = True,
) -> LabelledImages:
    """Your own data: a `pandas.DataFrame` of labels and a folder of images.

    `columns` says what the table's columns hold, in one of two forms.

    Wide, one row an image: `"image"`, and for each task by its name the
    columns of its labels. Categorical: a column, or a list of columns, one an
    annotator. Continuous: a tuple of columns, one a dimension, or a list of
    such tuples, one an annotator. `"clean"`, which may be left out: a dict by
    task name of the columns of labels that count as the truth.

    ```python
    columns = {
        "image": "file",
        "expression": ["ann", "bob"],
        "affect": [("ann_valence", "ann_arousal")],
        "clean": {"expression": "expert"},
    }
    ```

    Long, one row a label: `"image"`, `"annotator"` (any name), `"task"` and
    `"value"`. The task column holds the task's name, and for a continuous
    task `affect.valence` or just `valence`; it may be left out with a single
    task of one value. `"clean"`, which may be left out, is the name of the
    annotator whose labels count as the truth.

    ```python
    columns = {
        "image": "file",
        "annotator": "who",
        "task": "what",
        "value": "label",
        "clean": "expert",
    }
    ```

    An image is the path of a file relative to `image_root`, with slashes or
    back-slashes, in any Unicode normal form. A label is a class name (spaces
    around it and its Unicode normal form do not count) or a class id (from 0;
    not both in one task; a cell that is one of the class names is that class,
    even if it is a number, and however that is spelled: 3.0 is 3), or a
    number in [-1, 1]. Empty cells, `nan`, `none`, `null`, `na`, `n/a`, and -1
    as a class id, are missing labels.

    Streams are in the order of the columns, or of the annotators' names. With
    more than `max_annotators` annotators they become resampled streams, and
    it is lost who gave which label; see `crowd_streams`.

    Args:
        df: `pandas.DataFrame`.
        image_root: Folder of the images.
        tasks: Sequence of tasks; their number of annotators is replaced by
            that of the table.
        columns: Dict, see above.
        on_error: `"raise"`, or `"skip"`: leave bad rows and images out and
            count them in the report. A bad row is one with an unknown class,
            a value out of range or not a number, without an image or any
            label, or with an image (long: an image, annotator and task) that
            an earlier row has. It is left out as a whole: wide, a bad cell
            takes the good labels of its row along, and the report's notes
            count them. Rows are named by the index of `df`, or by their
            position where it repeats.
        max_annotators: Largest number of annotators of a task with a stream
            each, at least 1; None keeps all, with their names, for a
            `CrowdLayer` or `LTNet`.
        streams: Number of resampled streams where there are more, at least 1.
        seed: Non-negative integer, for the resampling.
        decode: Whether to decode each image once to find damaged ones, or
            only to read its header.

    Returns:
        A `LabelledImages` with the images in the order of the table. Its
        attribute `annotators` is a dict by task name of the annotators'
        names, without the tasks whose streams are resampled. The report's
        notes count images in the folder that no row names.

    Raises:
        ValueError: if an argument is out of its range, `columns` does not
            fit the table or names classes or other dimensions, a task mixes
            names and ids, has ids that begin at 1 or has no label at all;
            with `on_error="raise"` also at the first bad row or image.

    Warns:
        UserWarning: if a task with class names has ids, and none is 0.

    Example:

    >>> tasks = [CategoricalTask("expression", class_names=EXPRESSIONS)]
    >>> columns = {"image": "file", "expression": ["ann", "bob"]}
    >>> data = from_dataframe(df[df.split == "train"], "faces", tasks, columns)
    >>> data.annotators
    {'expression': ['ann', 'bob']}
    """
    if not isinstance(df, pd.DataFrame):
        raise ValueError(
            f"`df` must be a pandas.DataFrame. Received: {type(df).__name__}"
        )
    table = _Table(
        image_root, tasks, columns, on_error, max_annotators, streams, seed
    )
    _check_header(table.columns.used, list(df.columns), "`df`")
    names = df.index if df.index.is_unique else range(len(df))
    rows = table.rows(lambda row: f"row {names[row]}")
    _check_cells(df[table.columns.used], rows.row_name)
    rows.add(df[table.columns.used], np.arange(len(df)))
    return table.load(rows, decode)


def from_csv(
    path: PathLike,
    image_root: PathLike,
    tasks: Tasks,
    columns: dict[str, Any],
    *,
    where: dict[str, str] | None = None,
    on_error: str = "raise",
    max_annotators: int | None = 5,
    streams: int = 3,
    seed: int = 0,
    decode: bool = True,
    chunk_size: int = 100_000,
) -> LabelledImages:
    """Your own data: a CSV file of labels and a folder of images.

    As `from_dataframe`, but reads a file of any size piece by piece. The file
    is in UTF-8, with or without a byte order mark, its values are separated
    by commas, and its first row names the columns. Rows without any value but
    blanks are passed over.

    Args:
        path: The CSV file.
        image_root: See `from_dataframe`, as all arguments up to `decode`.
        tasks: Sequence of tasks.
        columns: Dict.
        where: Dict by column of a text, such as `{"split": "train"}`: only
            rows that hold it are read, at least one. By default all rows.
        on_error: `"raise"` or `"skip"`. A row with more values than the
            first row has names is bad, too. Rows are numbered as in a
            spreadsheet: 1 is the row of names.
        max_annotators: Integer, at least 1, or None.
        streams: Integer, at least 1.
        seed: Non-negative integer.
        decode: Boolean.
        chunk_size: Number of rows to read at a time.

    Returns:
        A `LabelledImages`, see `from_dataframe`.

    Raises:
        ValueError: if it is not such a file, and as `from_dataframe`.

    Example:

    >>> data = from_csv("labels.csv", "faces", tasks, columns)
    >>> dataset = data.batches((64, 64, 3), batch_size=32, training=True)
    """
    check_number("chunk_size", chunk_size, 1, integer=True)
    table = _Table(
        image_root, tasks, columns, on_error, max_annotators, streams, seed
    )
    header = read_header(path)
    where = check_where(where)
    _check_header([*table.columns.used, *where], header, str(path))
    rows = table.rows(lambda row: f"row {row}")
    found = {column: set() for column in where}
    chosen = 0
    for chunk, numbers in read_rows(path, header, chunk_size, table.report):
        kept = np.ones(len(chunk), bool)
        for column, text in where.items():
            texts = chunk[column].map(cell_text)
            kept &= (texts == cell_text(text)).to_numpy()
            found[column].update(texts.unique()[:20])
        chosen += kept.sum()
        rows.add(chunk.loc[kept, table.columns.used], numbers[kept])
    if where and not chosen:
        there = (
            f"{column} is {', '.join(map(repr, sorted(texts)))}"
            for column, texts in found.items()
        )
        raise ValueError(
            f"`where` must choose a row of {path}, in which "
            f"{one_line(' and '.join(there))}. Received: {where}"
        )
    data = table.load(rows, decode)
    data.writer = CsvWriter(path, table.columns, rows.tasks_with_ids())
    return data


def check_where(where: Any) -> dict[str, str]:
    """Checks the argument `where` of `from_csv` and returns it as a dict."""
    where = {} if where is None else where
    if not isinstance(where, dict) or not all(
        isinstance(each, str) for item in where.items() for each in item
    ):
        raise ValueError(
            f"`where` must be a dict by column of a text. Received: {where!r}"
        )
    return where


class _Table:
    """What is known before the table is read, and what comes of it."""

    def __init__(
        self,
        image_root,
        tasks,
        columns,
        on_error,
        max_annotators,
        streams,
        seed,
    ):
        self.tasks = check_tasks(tasks)
        self.columns = parse_columns(columns, self.tasks)
        self.report = ImportReport(on_error)
        if max_annotators is None:
            max_annotators = math.inf
        else:
            check_number("max_annotators", max_annotators, 1, integer=True)
        check_number("streams", streams, 1, integer=True)
        check_number("seed", seed, 0, integer=True)
        self.crowd = {
            "max_annotators": max_annotators,
            "streams": streams,
            "seed": seed,
        }
        # Before hours of reading, not after them.
        is_path = isinstance(image_root, (str, os.PathLike))
        if not is_path or not os.path.isdir(image_root):
            raise ValueError(
                f"`image_root` must be a folder. Received: {image_root}"
            )
        self.image_root = os.path.abspath(image_root)

    def rows(self, row_name):
        kind = LongRows if isinstance(self.columns, LongColumns) else WideRows
        return kind(
            self.columns, self.tasks, self.image_root, self.report, row_name
        )

    def load(self, rows, decode):
        rows.check_ids()
        rows.note_ids()
        rows.finish()
        named = rows.images.names
        kept = np.flatnonzero(rows.has_label())
        names = [named[index] for index in kept]
        explain = rows.images.folder.explain
        good = check_image_files(
            self.image_root, names, self.report, decode, explain
        )
        kept = kept[good]
        names = [named[index] for index in kept]
        if not names:
            first = [f"({e}: {d})" for e, _, d in self.report.entries[:1] if d]
            lines = [*str(self.report).splitlines(), *first]
            raise ValueError(
                "The table must have a row with an image and a label. "
                f"Received: {one_line(' / '.join(lines))}"
            )
        # The place of each image in the result, -1 for those left out.
        place = np.full(len(named), -1, "int32")
        place[kept] = np.arange(len(kept))

        tasks, labels, annotators = [], {}, {}
        for task in self.tasks:
            array, who = self._streams(task, names, place, rows)
            tasks.append(task.with_annotators(array.shape[1]))
            labels[task.name] = _as_labels(task, array)
            if who is not None:
                annotators[task.name] = who
        clean = {
            task.name: _as_labels(task, rows.clean(task.name)[kept])
            for task in self.tasks
            if rows.has_clean(task.name)
        }
        unnamed = set(list_images(self.image_root)).difference(named)
        self.report.notes["images in the folder that no row names"] = len(
            unnamed
        )
        images = ImageFiles(self.image_root, names)
        return LabelledImages(
            images,
            labels,
            tasks,
            clean,
            report=self.report,
            annotators=annotators,
        )

    def _streams(self, task, names, place, rows):
        """Labels of shape `(n, streams, values)`, and whose they are."""
        images, annotators, values, who = rows.labels(task.name)
        kept = place[images] >= 0
        images, annotators = place[images[kept]], annotators[kept]
        if not kept.any():
            raise ValueError(
                f"Task '{task.name}' must have a label of an accepted image "
                "in the table. Received: none"
            )
        if isinstance(self.columns, LongColumns):
            # Those whose labels of this task are all left out are no streams.
            present = sorted(np.unique(annotators), key=lambda i: who[i])
            index = np.empty(len(who), int)
            index[present] = np.arange(len(present))
            annotators, who = index[annotators], [who[i] for i in present]
        stream, count = crowd_streams(
            names, images, who, annotators, **self.crowd
        )
        array = np.full((len(names), count, values.shape[1]), np.nan, "float32")
        given = stream >= 0
        array[images[given], stream[given]] = values[kept][given]
        if len(who) <= self.crowd["max_annotators"]:
            return array, who
        notes = self.report.notes
        notes[f"annotators of {task.name}, now {count} streams"] = len(who)
        notes[f"labels of {task.name} beyond {count} an image, left out"] = int(
            (~given).sum()
        )
        return array, None


def _as_labels(task, values):
    """In the data contract: ids with -1, or values with NaN."""
    if isinstance(task, CategoricalTask):
        return np.nan_to_num(values[..., 0], nan=-1).astype("int32")
    return values


def _check_cells(frame, row_name):
    for column, cells in frame.items():
        kind = pd.api.types.infer_dtype(cells)
        if not kind.startswith(("mixed", "categorical")):
            continue
        for position, cell in enumerate(cells):
            if pd.api.types.is_list_like(cell):
                raise ValueError(
                    "Each cell of `df` must be one text or number. Received: "
                    f"{one_line(repr(cell), 80)} in column {column}, "
                    f"{row_name(position)}"
                )


def _check_header(used, header, table):
    for column in used:
        if header.count(column) > 1:
            raise ValueError(
                f"{table} must have each column of `columns` once. "
                f"Received: {header.count(column)} columns {column!r}"
            )
    missing = [column for column in used if column not in header]
    if missing:
        hint = ""
        if len(header) == 1 and re.search(r"[;\t|]", str(header[0])):
            hint = ". The values must be separated by commas"
        there = one_line(", ".join(map(str, header)))
        raise ValueError(
            f"`columns` must name columns of {table}: {there}. "
            f"Received: {', '.join(missing)}{hint}"
        )
