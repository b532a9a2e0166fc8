"""Your own data: labels in a table or a CSV file, images in a folder."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import check_number, one_line
from keras_noisyfer.datasets.faces.label_writers import CsvWriter
from keras_noisyfer.datasets.image_files import check_image_files, list_images
from keras_noisyfer.datasets.image_names import ImageFolder
from keras_noisyfer.datasets.image_sources import ImageFiles
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.long_table import from_long
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.table_cells import (
    cell_reader,
    cell_text,
    check_header,
    choose_rows,
    read_csv,
)
from keras_noisyfer.datasets.table_columns import (
    check_cells,
    parse_columns,
)
from keras_noisyfer.tasks import check_tasks
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
    image_path: Callable[[str], str] | None = None,
) -> LabelledImages:
    """Your own data: a `pandas.DataFrame` of labels and a folder of images.

    `columns` says what the table's columns hold, in one of three forms.

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

    One row an image and annotator, as Amazon Mechanical Turk gives it:
    `"image"`, `"annotator"`, and for each task the column of its label, or a
    tuple of columns, one a dimension. `"clean"` as in the long form.

    ```python
    columns = {
        "image": "Input.image_url",
        "annotator": "WorkerId",
        "expression": "Answer.expression.label",
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
        image_path: Function of what stands in a cell of images, a URL, say,
            that returns the file's path. By default the cell is the path.

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
    names = df.index if df.index.is_unique else range(len(df))
    options = dict(on_error=on_error, max_annotators=max_annotators)
    options |= dict(streams=streams, seed=seed)
    table = _Table(image_root, tasks, columns, image_path, **options)
    return table.load(df, "`df`", lambda row: f"row {names[row]}", decode)


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
    image_path: Callable[[str], str] | None = None,
) -> LabelledImages:
    """Your own data: a CSV file of labels and a folder of images.

    As `from_dataframe`. The file is in UTF-8, with or without a byte order
    mark, its values are separated by commas, and its first row names the
    columns. Rows without any value but blanks are passed over.

    Args:
        path: The CSV file.
        image_root: See `from_dataframe`, as all arguments but `where`.
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
        image_path: Function, or None.

    Returns:
        A `LabelledImages`, see `from_dataframe`.

    Raises:
        ValueError: if it is not such a file, and as `from_dataframe`.

    Example:

    >>> data = from_csv("labels.csv", "faces", tasks, columns)
    >>> dataset = data.batches((64, 64, 3), batch_size=32, training=True)
    """
    options = dict(on_error=on_error, max_annotators=max_annotators)
    options |= dict(streams=streams, seed=seed)
    table = _Table(image_root, tasks, columns, image_path, **options)
    frame = read_csv(path, table.report)
    if where is not None:
        frame = choose_rows(frame, where, path)
    numbers = frame.index
    data = table.load(frame, str(path), lambda r: f"row {numbers[r]}", decode)
    data.writer = CsvWriter(path, table.columns, table.with_ids)
    return data


class _Table:
    """The arguments, checked, and what the rows of a table come to."""

    def __init__(self, image_root, tasks, columns, image_path, **options):
        self.report = ImportReport(options.pop("on_error"))
        self.tasks = check_tasks(tasks)
        self.columns = parse_columns(columns, self.tasks)
        if options["max_annotators"] is not None:
            number = options["max_annotators"]
            check_number("max_annotators", number, 1, integer=True)
        check_number("streams", options["streams"], 1, integer=True)
        check_number("seed", options["seed"], 0, integer=True)
        self.crowd = options
        is_path = isinstance(image_root, (str, os.PathLike))
        if not is_path or not os.path.isdir(image_root):
            raise ValueError(
                f"`image_root` must be a folder. Received: {image_root}"
            )
        self.folder = ImageFolder(image_root)
        self.image_path = image_path or (lambda cell: cell)
        self.readers = {task.name: cell_reader(task) for task in self.tasks}

    @property
    def with_ids(self):
        """Names of the tasks whose cells are class ids."""
        return [name for name, r in self.readers.items() if r.has_ids]

    def load(self, frame, source, row_name, decode):
        check_header(self.columns.used, list(frame), source)
        frame = frame[self.columns.used]
        check_cells(frame, row_name)
        images, names = self._images(frame[self.columns.image])
        cells = self._read(frame, images, row_name)
        cells["image"] = images[cells["row"]]
        cells = self._without_duplicates(cells, names, row_name)
        given = cells[~cells["clean"]]
        kept = np.unique(given["image"])
        unlabelled = np.setdiff1d(images, [*kept, *self.rejected, -1])
        for image in unlabelled:
            self.report.reject(names[image], "no label")
        good = check_image_files(
            self.folder.image_root,
            [names[image] for image in kept],
            self.report,
            decode,
            self.folder.explain,
        )
        kept = kept[good]
        if not len(kept):
            first = [f"({e}: {d})" for e, _, d in self.report.entries[:1] if d]
            lines = [*str(self.report).splitlines(), *first]
            raise ValueError(
                "The table must have a row with an image and a label. "
                f"Received: {one_line(' / '.join(lines))}"
            )
        unnamed = set(list_images(self.folder.image_root)).difference(names)
        cells = cells[cells["image"].isin(kept)]
        cells = cells.assign(image=np.searchsorted(kept, cells["image"]))
        names = [names[image] for image in kept]
        annotators, truths = None, []
        if self.columns.annotator is None:
            annotators = {
                t.name: self.columns.names(t.name) for t in self.tasks
            }
            truths = self.columns.clean
        elif isinstance(
            frame[self.columns.annotator].dtype, pd.CategoricalDtype
        ) and (frame[self.columns.annotator].cat.ordered):
            who = map(cell_text, frame[self.columns.annotator].cat.categories)
            order = list(who)
            given = cells[~cells["clean"]].groupby("task")["annotator"]
            annotators = {
                task: [name for name in order if name in set(names_there)]
                for task, names_there in given.unique().items()
            }
        data = from_long(
            cells,
            ImageFiles(self.folder.image_root, names),
            self.tasks,
            self.report,
            annotators,
            truths,
            **self.crowd,
        )
        note = "images in the folder that no row names"
        self.report.notes[note] = len(unnamed)
        return data

    def _images(self, cells):
        """The number of each row's image, -1 for none, and their names, in
        the order in which they come."""
        codes, different = pd.factorize(cells)
        names = [
            # A folder may hold two files whose names look alike.
            self.folder.name(self.image_path(text)) if text else None
            for text in (cell_text(cell, form=None) for cell in different)
        ]
        # Of an empty cell the code is -1, which takes the last.
        return pd.factorize(np.array([*names, None], object)[codes])

    def _read(self, frame, images, row_name):
        """The cells of good rows that hold a label, as numbers."""
        problems = {
            row: ("no image name", "") for row in np.flatnonzero(images < 0)
        }
        cells = self.columns.melt(frame, problems)
        values = np.full(len(cells), np.nan, "float32")
        for name, reader in self.readers.items():
            own = np.flatnonzero(cells["task"] == name)
            rows, labels = (cells[c].to_numpy()[own] for c in ("row", "label"))
            values[own], wrong = reader.read(
                cells["value"].iloc[own],
                lambda each, rows=rows: row_name(rows[each]),
            )
            for each, (problem, detail) in wrong.items():
                detail = f"{labels[each]}: {detail}"
                problems.setdefault(rows[each], (problem, detail))
        cells["value"] = values
        given = cells["value"].notna() & ~cells["clean"]
        if self.columns.annotator is None:
            every = np.arange(len(frame))
            for row in np.setdiff1d(every, cells["row"][given]):
                problems.setdefault(row, ("no label", ""))
        # Before the first bad row says that it may be skipped.
        for name, reader in self.readers.items():
            own = (cells["task"] == name) & ~cells["clean"]
            reader.check_ids(cells["annotator"][own].unique())
        for row in sorted(problems):
            image = cell_text(frame[self.columns.image].iloc[row])
            entry = row_name(row) + f" ({image})" * bool(image)
            self.report.reject(entry, *problems[row])
        for reader in self.readers.values():
            reader.note_ids(self.report)
        bad = cells["row"].isin(problems)
        label = ["row", "task", "annotator"]
        lost = len(cells[bad & given].drop_duplicates(label))
        if lost and self.columns.annotator is None:
            note = "good labels in rows that were rejected, left out with them"
            self.report.notes[note] = lost
        self.rejected = images[sorted(problems)]
        return cells[~bad & cells["value"].notna()].copy()

    def _without_duplicates(self, cells, names, row_name):
        unit = self.columns.unit
        rows = cells.drop_duplicates("row").sort_values("row")
        again = rows["row"][rows.duplicated(unit)]
        if again.empty:
            return cells
        rows = rows[rows.duplicated(unit, keep=False)]
        own = cells[cells["row"].isin(rows["row"])]
        # Equal for rows of equal labels, in whatever order.
        content = own.drop(columns=["row", "label"])
        content = pd.util.hash_pandas_object(content, index=False)
        content = content.groupby(own["row"]).sum()
        first = rows.groupby(unit)["row"].transform("first")
        for row, earlier, image in zip(
            rows["row"], first, rows["image"], strict=True
        ):
            if row == earlier:
                continue
            same = content[row] == content[earlier]
            detail = f"see {row_name(earlier)}"
            self.report.reject(
                f"{row_name(row)} ({names[image]})",
                "duplicate row" if same else "conflicting duplicate row",
                f"identical, {detail}" if same else detail,
            )
        return cells[~cells["row"].isin(again)]
