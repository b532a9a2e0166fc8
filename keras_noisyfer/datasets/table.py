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
    cell_text,
    check_cells,
    check_header,
    choose_rows,
    read_cells,
    read_csv,
    texts,
)
from keras_noisyfer.datasets.table_columns import KEYS, parse_columns
from keras_noisyfer.datasets.table_tasks import (
    infer_columns,
    infer_tasks,
    tell_inferred,
)
from keras_noisyfer.tasks import check_tasks
from keras_noisyfer.typing import PathLike, Tasks


def from_dataframe(
    df: pd.DataFrame,
    image_root: PathLike,
    tasks: Tasks | None = None,
    columns: dict[str, Any] | None = None,
    *,
    on_error: str = "raise",
    max_annotators: int | None = 5,
    streams: int = 3,
    seed: int = 0,
    decode: bool = True,
    image_path: Callable[[str], str] | None = None,
) -> LabelledImages:
    """Your own data: a `pandas.DataFrame` of labels and a folder of images.

    `columns` says what the table's columns hold, in one of three forms; left
    out, the header says it, see `infer_tasks`.

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
            that of the table. By default those of `infer_tasks`, of which
            the report's notes tell.
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
    report = ImportReport(on_error)
    tasks, columns = _complete(df, tasks, columns, (), report)
    return _load(
        df,
        None,
        image_root,
        tasks,
        columns,
        report,
        max_annotators=max_annotators,
        streams=streams,
        seed=seed,
        decode=decode,
        image_path=image_path,
    )


def from_csv(
    path: PathLike | pd.DataFrame,
    image_root: PathLike,
    tasks: Tasks | None = None,
    columns: dict[str, Any] | None = None,
    *,
    where: dict[str, str] | None = None,
    on_error: str = "raise",
    **options: Any,
) -> LabelledImages:
    """Your own data: a CSV file of labels and a folder of images.

    As `from_dataframe`. The file is in UTF-8, with or without a byte order
    mark, its values are separated by commas, and its first row names the
    columns. Rows without any value but blanks are passed over.

    Args:
        path: The CSV file, or the table that `read_csv` made of it.
        image_root: See `from_dataframe`, as `tasks` and `columns`.
        tasks: Sequence of tasks.
        columns: Dict.
        where: Dict by column of a text, such as `{"split": "train"}`: only
            rows that hold it are read, at least one. By default all rows.
            Tasks are inferred from all, and never from these columns.
        on_error: `"raise"` or `"skip"`. A row with more values than the
            first row has names is bad, too. Rows are numbered as in a
            spreadsheet: 1 is the row of names.
        **options: `max_annotators`, `streams`, `seed`, `decode` and
            `image_path`, see `from_dataframe`.

    Returns:
        A `LabelledImages`, see `from_dataframe`.

    Raises:
        ValueError: if it is not such a file, and as `from_dataframe`.

    Example:

    >>> data = from_csv("labels.csv", "faces", tasks, columns)
    >>> dataset = data.batches((64, 64, 3), batch_size=32, training=True)
    """
    report = ImportReport(on_error)
    frame = path if isinstance(path, pd.DataFrame) else read_csv(path)
    path = frame.attrs["path"]
    for row, detail in frame.attrs["surplus"].items():
        report.reject(f"row {row}", "too many values", detail)
    tasks, columns = _complete(frame, tasks, columns, where or (), report)
    if where is not None:
        frame = choose_rows(frame, where, path)
    return _load(frame, path, image_root, tasks, columns, report, **options)


def _complete(frame, tasks, columns, ignored, report):
    """Tasks and columns, which may be left out, as the table tells them."""
    if tasks is None:
        tasks, columns = infer_tasks(frame, columns, ignored)
        tell_inferred(tasks, report)
    elif columns is None:
        columns = infer_columns(frame, ignored)
        known = [*KEYS, *(task.name for task in check_tasks(tasks))]
        columns = {key: columns[key] for key in known if key in columns}
        if isinstance(columns.get("clean"), dict):
            truths = columns["clean"].items()
            columns["clean"] = {k: each for k, each in truths if k in known}
    return tasks, columns


def _load(
    frame,
    path,
    image_root,
    tasks,
    columns,
    report,
    decode=True,
    image_path=None,
    max_annotators=5,
    streams=3,
    seed=0,
):
    """The long table of a table, checked, and what it and images come to."""
    if max_annotators is not None:
        check_number("max_annotators", max_annotators, 1, integer=True)
    check_number("streams", streams, 1, integer=True)
    check_number("seed", seed, 0, integer=True)
    tasks = check_tasks(tasks)
    columns = parse_columns(columns, tasks)
    is_path = isinstance(image_root, (str, os.PathLike))
    if not is_path or not os.path.isdir(image_root):
        raise ValueError(
            f"`image_root` must be a folder. Received: {image_root}"
        )
    rows = frame.index if frame.index.is_unique else range(len(frame))

    def row_name(row):
        return f"row {rows[row]}"

    source = "`df`" if path is None else str(path)
    check_header(columns.used, list(frame), source)
    frame = frame[columns.used].reset_index(drop=True)
    check_cells(frame, row_name)
    folder = ImageFolder(image_root)
    images, names = _number_images(frame[columns.image], folder, image_path)
    problems = dict.fromkeys(np.flatnonzero(images < 0), ("no image name", ""))
    cells = columns.melt(frame, problems)
    cells["image"] = images[cells["row"]]
    read = (tasks, columns, problems, row_name, report)
    cells, with_ids = _read(cells, *read)
    is_wide = columns.annotators is not None
    given = cells[~cells["clean"]]
    if is_wide:
        for row in np.setdiff1d(frame.index, given["row"]):
            problems.setdefault(row, ("no label", ""))
    for row in sorted(problems):
        image = cell_text(frame[columns.image][row])
        entry = row_name(row) + f" ({image})" * bool(image)
        report.reject(entry, *problems[row])
    lost = given[given["row"].isin(problems)]
    if is_wide and len(lost):
        note = "good labels in rows that were rejected, left out with them"
        label = ["row", "task", "annotator"]
        report.notes[note] = len(lost.drop_duplicates(label))
    cells = cells[~cells["row"].isin(problems)]
    cells = _without_duplicates(cells, columns.unit, names, row_name, report)
    kept = np.unique(cells["image"][~cells["clean"]])
    for image in np.setdiff1d(images, [*kept, *images[[*problems]], -1]):
        report.reject(names[image], "no label")
    paths = [names[image] for image in kept]
    good = check_image_files(
        folder.image_root, paths, report, decode, folder.explain
    )
    kept = kept[good]
    if not len(kept):
        first = [f"({e}: {d})" for e, _, d in report.entries[:1] if d]
        lines = [*str(report).splitlines(), *first]
        raise ValueError(
            "The table must have a row with an image and a label. "
            f"Received: {one_line(' / '.join(lines))}"
        )
    unnamed = set(list_images(folder.image_root)).difference(names)
    cells = cells[cells["image"].isin(kept)]
    cells = cells.assign(image=np.searchsorted(kept, cells["image"]))
    data = from_long(
        cells,
        ImageFiles(folder.image_root, [names[image] for image in kept]),
        tasks,
        report,
        columns.annotators,
        {name for _, name, _, _, clean in columns.fields if clean},
        max_annotators=max_annotators,
        streams=streams,
        seed=seed,
    )
    report.notes["images in the folder that no row names"] = len(unnamed)
    if path is not None:
        data.writer = CsvWriter(path, columns, with_ids)
    return data


def _number_images(cells, folder, image_path):
    """The number of each row's image, -1 for none, and the images' names, in
    the order in which they come."""
    image_path = image_path or (lambda text: text)
    # A folder may hold two files whose names look alike.
    written = texts(cells, form=None)
    paths = {
        text: folder.name(image_path(text)) if text else None
        for text in written.unique()
    }
    return pd.factorize(np.array([paths[text] for text in written], object))


def _read(cells, tasks, columns, problems, row_name, report):
    """The cells that hold a label, as numbers; names of the tasks of which
    they are class ids. Adds the problems of bad cells."""
    parts, with_ids = [], []
    for task in tasks:
        own = cells[cells["task"] == task.name]
        found, has_ids = read_cells(own, task, row_name, report)
        with_ids += [task.name] * has_ids
        bad = own.join(found[["problem", "detail"]])[found["problem"].notna()]
        for row, column, *what in zip(
            bad["row"],
            bad["column"],
            bad["problem"],
            bad["detail"],
            strict=True,
        ):
            label = task.name if columns.value else f"column {column}"
            problems.setdefault(row, (what[0], f"{label}: {what[1]}"))
        parts.append(own.assign(value=found["value"].astype("float32")))
    cells = pd.concat(parts)
    return cells[cells["value"].notna()], with_ids


def _without_duplicates(cells, unit, names, row_name, report):
    """The cells without those of rows of which an earlier row says as much."""
    rows = cells.drop_duplicates("row").sort_values("row")
    first = rows.groupby(unit, observed=True)["row"].transform("first")
    again = rows[rows["row"] != first]
    if again.empty:
        return cells
    own = cells[cells["row"].isin({*again["row"], *first[again.index]})]
    said = own[["image", "task", "dimension", "annotator", "clean", "value"]]
    said = pd.Series([*said.itertuples(False, None)], own["row"])
    said = said.groupby(level=0).agg(frozenset)
    for row, earlier, image in zip(
        again["row"], first[again.index], again["image"], strict=True
    ):
        same = said[row] == said[earlier]
        detail = f"see {row_name(earlier)}"
        report.reject(
            f"{row_name(row)} ({names[image]})",
            "duplicate row" if same else "conflicting duplicate row",
            f"identical, {detail}" if same else detail,
        )
    return cells[~cells["row"].isin(again["row"])]
