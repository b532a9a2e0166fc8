"""Your own data: labels in a table or a CSV file, images in a folder."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import check_number, one_line
from keras_noisyfer.datasets.image_files import (
    check_folder,
    check_image_files,
    list_images,
)
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
from keras_noisyfer.datasets.table_columns import Columns, parse_columns
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
    where: dict[str, str] | None = None,
    on_error: str = "raise",
    max_annotators: int | None = 5,
    streams: int = 3,
    seed: int = 0,
    decode: bool = True,
    image_path: Callable[[str], str] | None = None,
) -> LabelledImages:
    """Your own data: a `pandas.DataFrame` of labels and a folder of images.

    `columns` says what the table's columns hold, in one of three forms; left
    out, the header says it, see `infer_tasks`. `"clean"`, labels that count
    as the truth, may be left out.

    Wide, one row an image: `"image"`, and for each task by its name the
    columns of its labels. Categorical: a column, or a list of columns, one an
    annotator. Continuous: a tuple of columns, one a dimension, or a list of
    such tuples, one an annotator. `"clean"`: a dict by task name of columns.

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
    task of one value. `"clean"`: the name of an annotator.

    ```python
    columns = {"image": "file", "annotator": "who", "task": "what"}
    columns |= {"value": "label", "clean": "expert"}
    ```

    One row an image and annotator, as Amazon Mechanical Turk gives it:
    `"image"`, `"annotator"`, and for each task the column of its label, or a
    tuple of columns, one a dimension. `"clean"` as in the long form.

    ```python
    columns = {"image": "Input.image_url", "annotator": "WorkerId"}
    columns |= {"expression": "Answer.expression.label"}
    ```

    An image is the path of a file relative to `image_root`, with slashes or
    back-slashes, in any Unicode normal form. A label is a class name (spaces
    around it and its normal form do not count), a class id (from 0; not both
    in one task; a cell that is one of the class names is that class, even if
    it is a number, however spelled: 3.0 is 3), or a number in [-1, 1]. Empty
    cells, `nan`, `none`, `null`, `na`, `n/a`, and -1 as a class id, are
    missing labels.

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
        where: Dict by column of a text, such as `{"split": "train"}`: only
            rows that hold it are read, at least one. By default all rows.
            Tasks are inferred from all, and never from these columns.
        on_error: `"raise"`, or `"skip"`: leave bad rows and images out and
            count them in the report. A bad row is one with an unknown class,
            a value out of range or not a number, without an image or any
            label, or with an image (long: an image, annotator and task) that
            an earlier row has. Good labels that a wide row loses with a bad
            one are counted in the report's notes. Rows are named by the
            index of `df`, or by their position where it repeats.
        max_annotators: Largest number of annotators of a task with a stream
            each, at least 1; None keeps all, for a `CrowdLayer` or `LTNet`.
        streams: Number of resampled streams where there are more, at least 1.
        seed: Non-negative integer, for the resampling.
        decode: Whether to decode each image once to find damaged ones, or
            only to read its header.
        image_path: Function of a cell of images, such as a URL, that returns
            the file's path. By default the cell is the path.

    Returns:
        A `LabelledImages` with the images in the order of the table, and the
        annotators' names of tasks whose streams are not resampled. The
        report's notes count images in the folder that no row names.

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
    if max_annotators is not None:
        check_number("max_annotators", max_annotators, 1, integer=True)
    check_number("streams", streams, 1, integer=True)
    check_number("seed", seed, 0, integer=True)
    if tasks is None:
        tasks, columns = infer_tasks(df, columns, where or ())
        tell_inferred(tasks, report)
    tasks = check_tasks(tasks)
    if columns is None:
        columns = infer_columns(df, where or (), [t.name for t in tasks])
    table = df.attrs.get("csv", "`df`")
    frame = df if where is None else choose_rows(df, where, table)
    parsed = parse_columns(columns, tasks)
    check_folder("`image_root`", image_root)
    folder = ImageFolder(image_root)

    def find(cell):
        return folder.name(image_path(cell) if image_path else cell)

    cells, names = read_table(frame, parsed, tasks, find, report)
    kept = np.unique(cells["image"][~cells["clean"]])
    labels = _row_labels(frame)
    first = cells.groupby(cells["image"].map(names.__getitem__))["row"].min()

    def explain(name, *problem):
        written, *problem = folder.explain(name, *problem)
        return f"row {labels[first[name]]} ({written})", *problem

    good = check_image_files(
        folder.image_root, names[kept], report, decode, explain
    )
    surplus = df.attrs.get("surplus", {})
    all_labels = [*labels, *surplus]
    if surplus and frame.index.dtype.kind == "i":
        # Numbers of a file's rows.
        all_labels.sort()
    _sort_entries(report, all_labels)
    kept = kept[good]
    if not len(kept):
        first = [f"({e}: {d})" for e, _, d in report.entries[:1] if d]
        lines = [*str(report).splitlines(), *first]
        raise ValueError(
            "The table must have a row with an image and a label. "
            f"Received: {one_line(' / '.join(lines))}"
        )
    cells = cells[cells["image"].isin(kept)]
    data = from_long(
        cells.assign(image=np.searchsorted(kept, cells["image"])),
        ImageFiles(folder.image_root, names[kept]),
        tasks,
        report,
        parsed.annotators,
        {name for _, name, _, _, clean in parsed.fields if clean},
        max_annotators=max_annotators,
        streams=streams,
        seed=seed,
    )
    others = []
    if where and image_path is None:
        # The rows that were not chosen name images, too.
        others = texts(df[parsed.image], form=None).unique()
    unnamed = set(list_images(folder.image_root)).difference(
        names, map(folder.name, others)
    )
    report.notes["images in the folder that no row names"] = len(unnamed)
    return data


def from_csv(
    path: PathLike | pd.DataFrame,
    image_root: PathLike,
    tasks: Tasks | None = None,
    columns: dict[str, Any] | None = None,
    **options: Any,
) -> LabelledImages:
    """Your own data: a CSV file of labels and a folder of images.

    As `from_dataframe`. The file is in UTF-8, with or without a byte order
    mark, its values are separated by commas, and its first row names the
    columns. Rows without any value but blanks are passed over; one with more
    values than the first row has names is bad. Rows are numbered as in a
    spreadsheet: 1 is the row of names.

    Args:
        path: The CSV file, or the table that `read_csv` made of it.
        image_root: See `from_dataframe`, as the following ones.
        tasks: Sequence of tasks.
        columns: Dict.
        **options: `where`, `on_error`, `max_annotators`, `streams`, `seed`,
            `decode` and `image_path`.

    Returns:
        A `LabelledImages`, see `from_dataframe`.

    Raises:
        ValueError: if it is not such a file, and as `from_dataframe`.
        TypeError: if there are other arguments.

    Example:

    >>> where = {"split": "train"}
    >>> data = from_csv("labels.csv", "faces", tasks, columns, where=where)
    >>> dataset = data.batches((64, 64, 3), batch_size=32, training=True)
    """
    taken = from_dataframe.__kwdefaults__ or {}
    unknown = sorted(set(options) - set(taken))
    if unknown:
        raise TypeError(
            f"`from_csv` takes {', '.join(taken)} beside its first arguments. "
            f"Received: {', '.join(unknown)}"
        )
    frame = path if isinstance(path, pd.DataFrame) else read_csv(path)
    return from_dataframe(frame, image_root, tasks, columns, **options)


def read_table(
    frame: pd.DataFrame,
    columns: Columns,
    tasks: Tasks,
    find: Callable[[str], str],
    report: ImportReport,
) -> tuple[pd.DataFrame, pd.Index]:
    """The long table of a table's good rows, and the names of the images whose
    numbers it has, which `find` makes of the cells."""
    for row, detail in frame.attrs.get("surplus", {}).items():
        report.reject(f"row {row}", "too many values", detail)
    is_csv = "csv" in frame.attrs
    check_header(columns.used, frame, frame.attrs.get("csv", "`df`"))
    rows = _row_labels(frame)

    def row_name(row):
        return f"row {rows[row]}"

    frame = frame[columns.used].reset_index(drop=True)
    check_cells(frame, row_name)
    # A folder may hold two files whose names look alike.
    written = texts(frame[columns.image], form=None)
    paths = {each: find(each) if each else None for each in written.unique()}
    images, names = pd.factorize(written.map(paths))
    problems = dict.fromkeys(np.flatnonzero(images < 0), ("no image name", ""))
    cells = columns.melt(frame, problems)
    cells["image"] = images[cells["row"]]
    parts = []
    for task in tasks:
        own = cells[cells["task"] == task.name]
        own, has_ids = read_cells(own, task, row_name)
        parts.append(own)
        # Without names it does not matter what they begin at.
        classes = getattr(task, "class_names", None)
        if has_ids and classes and not (own["value"] == 0).any():
            first = cell_text(classes[0])
            note = f"labels of {task.name} with the class id 0, {first}"
            report.notes[note] = 0
            warnings.warn(
                f"No cell of task '{task.name}' is 0, the class id of "
                f"{one_line(first)}. If the ids count from 1, each label is "
                "read as the next class: subtract 1 or write class names",
                stacklevel=3 + is_csv,
            )
    cells = pd.concat(parts)
    for bad in cells[cells["problem"].notna()].itertuples():
        where = bad.task if columns.value else f"column {bad.column}"
        detail = f"{where}: {bad.detail}"
        problems.setdefault(bad.row, (bad.problem, detail))
    cells = cells[cells["problem"].isna() & cells["value"].notna()]
    given = cells[~cells["clean"]]
    is_wide = columns.annotator is None
    if is_wide:
        for row in frame.index.difference(given["row"]):
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
    cells = _without_duplicates(cells, columns, names, row_name, report)
    kept = cells["image"][~cells["clean"]]
    first = dict(zip(*np.unique(images, return_index=True), strict=True))
    for image in np.setdiff1d(images, [*kept, *images[[*problems]], -1]):
        row = row_name(first[image])
        report.reject(f"{row} ({names[image]})", "no label")
    return cells, names


def _row_labels(frame):
    """What rows are called: by the index, or by their places if it repeats."""
    return frame.index if frame.index.is_unique else range(len(frame))


def _sort_entries(report, labels):
    """Puts bad rows in the order of a table with such names of rows."""
    places = {f"row {label}": place for place, label in enumerate(labels)}
    report.entries.sort(
        key=lambda each: places.get(each[0].partition(" (")[0], len(places))
    )


def _without_duplicates(cells, columns, names, row_name, report):
    """The cells without those of rows of which an earlier row says as much."""
    unit = ["image"] + ["annotator"] * (columns.annotator is not None)
    unit += ["task", "dimension"] * (columns.task is not None)
    rows = cells.drop_duplicates("row").sort_values("row")
    first = rows.groupby(unit, observed=True)["row"].transform("first")
    again = rows.assign(first=first)[rows["row"] != first]
    if again.empty:
        return cells
    what = ["image", "task", "dimension", "annotator", "clean", "value"]
    own = cells[cells["row"].isin({*again["row"], *again["first"]})]
    said = pd.Series([*own[what].itertuples(False, None)], own["row"])
    said = said.groupby(level=0).agg(frozenset)
    for row, earlier, image in again[["row", "first", "image"]].to_numpy():
        same = said[row] == said[earlier]
        report.reject(
            f"{row_name(row)} ({names[image]})",
            "duplicate row" if same else "conflicting duplicate row",
            "identical, " * same + f"see {row_name(earlier)}",
        )
    return cells[~cells["row"].isin(again["row"])]
