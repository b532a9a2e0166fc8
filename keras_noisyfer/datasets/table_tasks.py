"""The tasks of a CSV file of labels, read off its header and its cells."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.exchange import CLEAN
from keras_noisyfer.datasets.image_files import EXTENSIONS
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.table_cells import (
    MISSING_CELLS,
    cell_number,
    cell_text,
    check_header,
    read_csv,
)
from keras_noisyfer.datasets.table_columns import KEYS
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask, Task
from keras_noisyfer.typing import PathLike

LONG_COLUMNS = ("image", "annotator", "task", "value")
AFFECT = ("valence", "arousal")
MAX_CLASSES = 1000
# As many cells of which no two are alike are no classes.
MANY_DIFFERENT = 20


def infer_tasks(
    path: PathLike,
    columns: dict[str, Any] | None = None,
    ignored: Iterable[str] = (),
    classes: Mapping[str, Sequence[str]] | None = None,
) -> tuple[list[Task], dict[str, Any]]:
    """Finds the tasks of a CSV file, for `from_csv`.

    Without `columns` the header says what there is. A file with the columns
    `image`, `annotator`, `task` and `value` holds one label a row; labels of
    the annotator `clean` count as the truth. Otherwise it holds one image a
    row: its path in `image`, and every other column is named after a task, or
    after a task and an annotator: `expression`, or `expression.ann` and
    `expression.bob`. Columns `clean.expression` hold labels that count as the
    truth. `valence` and `arousal` together (`valence.ann` and `arousal.ann`,
    `clean.valence` and `clean.arousal`) are the continuous task `affect`; all
    other tasks are categorical, and their classes are the different cells,
    sorted. Where all cells are integers they are class ids.

    Args:
        path: The CSV file, as for `from_csv`.
        columns: Dict as for `from_csv` in the wide form, whose tasks are
            continuous where columns stand in tuples. Their dimensions are
            called as the columns of the first annotator; those of `affect`
            valence and arousal.
        ignored: Names of columns that hold no labels.
        classes: Dict by task name of sequences of class names; by default
            the different cells are the classes, misspelled ones too.

    Returns:
        `(tasks, columns)`: a list of tasks and a dict, the arguments of
        `from_csv`.

    Raises:
        ValueError: if there is no column of images or of labels, or a task
            has fewer than 2 or more than 1,000 classes, or cells that are
            file names or all different, as ids are, or `classes` names a
            task that is not there.

    Example:

    >>> tasks, columns = infer_tasks("labels.csv")
    >>> data = from_csv("labels.csv", "faces", tasks, columns)
    """
    # Bad rows are for `from_csv` to report.
    frame = read_csv(path, ImportReport("skip"))
    header = list(frame)
    if columns is None and set(LONG_COLUMNS) <= set(header):
        columns = {name: name for name in LONG_COLUMNS}
        check_header(LONG_COLUMNS, header, str(path))
        found, dimensions, has_clean = _long_cells(frame)
        if has_clean:
            columns["clean"] = CLEAN
        tasks = []
        if dimensions:
            given = [each for each in AFFECT if each in dimensions]
            tasks.append(ContinuousTask("affect", given))
        return tasks + _categorical_tasks(found, classes), columns
    columns = columns or _columns_of(path, header, ignored)
    categorical, tasks = {}, []
    for name, groups in columns.items():
        if name in ("image", "clean"):
            continue
        groups = [groups] if isinstance(groups, str | tuple) else groups
        if isinstance(groups[0], tuple):
            is_affect = name == "affect" and len(groups[0]) == len(AFFECT)
            dimensions = AFFECT if is_affect else groups[0]
            tasks.append(ContinuousTask(name, dimensions))
        else:
            truth = columns.get("clean", {}).get(name)
            categorical[name] = [*groups, *([truth] if truth else [])]
    check_header(sum(categorical.values(), []), header, str(path))
    found = {
        name: frame[used].to_numpy().ravel()
        for name, used in categorical.items()
    }
    return tasks + _categorical_tasks(found, classes), columns


def columns_of_flags(
    image: str,
    categorical: Sequence[tuple[str, str]] = (),
    continuous: Sequence[tuple[str, str]] = (),
    clean: Sequence[tuple[str, str]] = (),
) -> dict[str, Any] | None:
    """The argument `columns` of `from_csv` in the wide form, from text.

    `image` is the column of the image's path. `categorical` are pairs
    `(task, "column,column")`, a column an annotator; `continuous`
    `(task, "column+column,column+column")`, for each annotator the columns of
    the dimensions; `clean` `(task, "column")` or `(task, "column+column")`.

    Returns:
        A dict, or None if no task is given.

    Raises:
        ValueError: if a task is given twice, or there are clean labels of one
            that is not given.
    """
    if not categorical and not continuous and image == "image" and not clean:
        return None
    columns: dict[str, Any] = {"image": image}
    named = [task for task, _ in (*categorical, *continuous)]
    if len({*named, *KEYS}) < len(named) + len(KEYS):
        raise ValueError(
            "Each task must be given once, and none be named "
            f"{', '.join(KEYS)}. Received: {', '.join(named)}"
        )
    for task, text in categorical:
        columns[task] = text.split(",")
    for task, text in continuous:
        columns[task] = [tuple(e.split("+")) for e in text.split(",")]
    truths = {
        task: tuple(text.split("+")) if task in dict(continuous) else text
        for task, text in clean
    }
    unknown = sorted(set(truths) - set(columns))
    if unknown or len(columns) == 1:
        raise ValueError(
            "The columns of at least one task must be given, and clean ones "
            f"for given tasks only. Received: {', '.join(unknown) or 'none'}"
        )
    if truths:
        columns["clean"] = truths
    return columns


def _columns_of(path, header, ignored):
    """The argument `columns` for a header in the wide form."""
    if "image" not in header:
        raise ValueError(
            f"{path} must have the column 'image'. "
            f"Received: {one_line(', '.join(header))}"
        )
    labels, clean = {}, {}
    for column in header:
        if column == "image" or column in ignored:
            continue
        name, _, annotator = column.partition(".")
        if column == CLEAN:
            raise ValueError(
                f"{path} must call a column of true labels clean.<task>. "
                "Received: clean"
            )
        if name == CLEAN:
            clean[annotator] = column
        else:
            labels.setdefault(name, {})[annotator] = column
    if "valence" in labels and set(labels["valence"]) == set(
        labels.get("arousal", ())
    ):
        pairs = [labels.pop(dimension) for dimension in AFFECT]
        labels["affect"] = {
            who: tuple(p[who] for p in pairs) for who in pairs[0]
        }
        if set(AFFECT) <= set(clean):
            clean["affect"] = tuple(
                clean.pop(dimension) for dimension in AFFECT
            )
    if not labels:
        raise ValueError(
            f"{path} must have a column of labels beside 'image'. "
            f"Received: {one_line(', '.join(header))}"
        )
    columns = {"image": "image"}
    columns.update({name: list(each.values()) for name, each in labels.items()})
    if clean:
        columns["clean"] = clean
    return columns


def _long_cells(frame):
    """The values of each categorical task, the dimensions of
    affect, and whether there are clean labels."""
    found, dimensions = {}, set()
    for name, values in frame["value"].groupby(frame["task"].str.strip()):
        dimension = name.removeprefix("affect.")
        if dimension in AFFECT:
            dimensions.add(dimension)
        elif name:
            found[name] = values.to_numpy()
    return found, dimensions, (frame["annotator"].str.strip() == CLEAN).any()


def _categorical_tasks(found, classes):
    classes = classes or {}
    unknown = sorted(set(classes) - set(found))
    if unknown:
        raise ValueError(
            "`classes` must be of categorical tasks: "
            f"{', '.join(found) or 'there are none'}. "
            f"Received: {', '.join(unknown)}"
        )
    return [
        CategoricalTask(name, class_names=classes[name])
        if name in classes
        else _categorical(name, cells)
        for name, cells in found.items()
    ]


def _categorical(name, cells):
    texts = pd.Series(cells).map(cell_text)
    texts = texts[~texts.str.lower().isin({"-1", *MISSING_CELLS})]
    names = sorted(texts.unique())
    numbers = [cell_number(each) for each in names]
    count, kind = len(names), ""
    if any(each.lower().endswith(EXTENSIONS) for each in names):
        kind = "file names"
    elif names and all(n is not None and n.is_integer() for n in numbers):
        count, names = 1 + int(max(numbers)), None
    elif count == len(texts) > MANY_DIFFERENT:
        kind = "different cells, as of ids"
    if kind or not 2 <= count <= MAX_CLASSES:
        task = one_line(name).partition("_")[0]
        raise ValueError(
            f"Column or task {one_line(name)!r} must have 2 to {MAX_CLASSES} "
            "classes to be a categorical task. Columns of labels are called "
            f"{task} or {task}.<annotator>, valence and arousal are values; "
            "`columns` says which they are where they have other names, and "
            f"`ignored` which hold no labels. Received: {count} {kind}".rstrip()
        )
    return CategoricalTask(name, count, class_names=names)
