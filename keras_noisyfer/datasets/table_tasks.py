"""The tasks of a table of labels, read off its header and its cells."""

import collections
import itertools
import re
import warnings
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
    check_header,
    read_csv,
    separator_hint,
    texts,
)
from keras_noisyfer.datasets.table_columns import KEYS
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask, Task
from keras_noisyfer.typing import PathLike, Tasks

LONG_COLUMNS = ("image", "annotator", "task", "value")
AFFECT = ("valence", "arousal")
MAX_CLASSES = 1000
# As many cells of which no two are alike are no classes.
MANY_DIFFERENT = 20
# A class with a fraction of one in so many of the mean may be a misspelling.
RARE = 12
# Of what is read as a missing label, what a class may be called.
MAYBE_CLASSES = ("-1", "na", "none", "null")
NO_CLASSES = {"-1", *MISSING_CELLS}


def infer_tasks(
    table: PathLike | pd.DataFrame,
    columns: dict[str, Any] | None = None,
    ignored: Iterable[str] = (),
    classes: Mapping[str, Sequence[str]] | None = None,
) -> tuple[list[Task], dict[str, Any]]:
    """Finds the tasks of a table, as `from_csv` does where it is told none.

    Without `columns` the header says what there is. A table with the columns
    `image`, `annotator`, `task` and `value` holds one label a row; those of
    the annotator `clean` count as the truth. Otherwise it holds one image a
    row: its path in `image`, and every other column is named after a task, or
    a task and an annotator: `expression`, or `expression.ann` and
    `expression.bob`, and `clean.expression` for what counts as the truth.
    `valence` and `arousal` together (`valence.ann` and `arousal.ann` ...) are
    the continuous task `affect`, in capitals too; all others are categorical,
    and their classes are the different cells, sorted; integers alone are class
    ids where a 0 is among them, or else names.

    Args:
        table: The CSV file, or a `pandas.DataFrame`.
        columns: Dict as for `from_csv`; columns in tuples are continuous
            tasks, whose dimensions are called as those of the first
            annotator, or for `affect` valence and arousal.
        ignored: Names of columns that hold no labels.
        classes: Dict by task name of sequences of class names; by default
            the different cells are the classes, misspelled ones too.

    Returns:
        `(tasks, columns)`: a list of tasks and a dict, the arguments of
        `from_csv`.

    Raises:
        ValueError: if there is no column of images or of labels, or a task
            has fewer than 2 or more than 1,000 classes, or cells that are
            file names, decimals or all different, as ids are, or two that
            differ in case alone, or a column shares none of its classes with
            the others, or `classes` names a task that is not there.

    Warns:
        UserWarning: if columns become tasks of their own whose names, such as
            `expression_1` and `expression_2`, are rather those of annotators;
            if a class is so rare that it may be a misspelling; if most ids
            below the largest are nobody's.

    Example:

    >>> tasks, columns = infer_tasks("labels.csv")
    >>> data = from_csv("labels.csv", "faces", tasks, columns)
    """
    frame = table if isinstance(table, pd.DataFrame) else read_csv(table)
    source = frame.attrs.get("csv", "`df`")
    if frame.empty:
        surplus = len(frame.attrs.get("surplus", {}))
        hint = f", but {surplus} rows of too many values" * (surplus > 0)
        hint += separator_hint(list(frame))
        raise ValueError(
            f"{source} must have rows of labels. Received: none{hint}"
        )
    # Of tables put together the index may repeat.
    frame = frame.reset_index(drop=True)
    frame.attrs = {"csv": source}
    is_told = columns is not None
    if not is_told:
        columns = infer_columns(frame, ignored)
    if not isinstance(columns, dict):
        raise ValueError(f"`columns` must be a dict. Received: {columns!r}")
    found: dict[str, pd.Series] = {}
    tasks: list[Task] = []
    if {"task", "value"} <= columns.keys():
        check_header([columns["task"], columns["value"]], frame, source)
        what = texts(frame[columns["task"]])
        dimension = what.str.removeprefix("affect.")
        given = [each for each in AFFECT if (dimension == each).any()]
        if given:
            tasks.append(ContinuousTask("affect", given))
        cells = frame[columns["value"]][(what != "") & ~dimension.isin(AFFECT)]
        found = dict(iter(cells.groupby(what)))
    truths = columns.get("clean")
    for name, groups in columns.items():
        if name in KEYS:
            continue
        groups = [groups] if isinstance(groups, str | tuple) else groups
        if not isinstance(groups, list) or not groups:
            raise ValueError(
                f"`columns['{name}']` must be a column, a tuple of columns, or "
                f"a list of either. Received: {groups!r}"
            )
        if isinstance(groups[0], tuple):
            dimensions = groups[0]
            if name == "affect" and len(dimensions) == len(AFFECT):
                dimensions = AFFECT
            tasks.append(ContinuousTask(name, dimensions))
            continue
        truth = truths.get(name) if isinstance(truths, dict) else None
        used = [*groups, truth] if truth else groups
        check_header(used, frame, source)
        found[name] = pd.concat([frame[column] for column in used])
        if not (classes or {}).get(name):
            _check_shared(name, frame[[*dict.fromkeys(used)]])
    unknown = sorted(set(classes or ()) - set(found))
    if unknown:
        raise ValueError(
            "`classes` must be of categorical tasks: "
            f"{', '.join(found) or 'there are none'}. "
            f"Received: {', '.join(unknown)}"
        )
    for name, cells in found.items():
        names = (classes or {}).get(name)
        cells = texts(cells)
        tasks.append(_categorical(name, cells, names))
        if names is None:
            _warn_of_rare_classes(tasks[-1], cells)
            _warn_of_missing(name, cells)
            _warn_of_gaps(tasks[-1], cells)
    for name, alike in _alike(tasks if not is_told else ()).items():
        dotted = [f"{name}.{each.lstrip('_')}" for each in alike.values()]
        example = {"image": columns["image"], name: [*alike]}
        warnings.warn(
            f"Columns {one_line(', '.join(alike))} are read as a task each. "
            "If they are annotators of one, call them "
            f"{one_line(', '.join(dotted))}, or say so with "
            f"`columns={one_line(example)}`",
            stacklevel=2,
        )
    return tasks, columns


def _check_shared(name, frame):
    """Annotators of a task use the same words: raises `ValueError` at a column
    that has no class in common with another one, such as one of remarks."""
    words = {
        column: set(texts(frame[column]).str.casefold()) - NO_CLASSES
        for column in frame
    }
    # One label alone may well be the only one of its class.
    words = {column: each for column, each in words.items() if len(each) > 1}
    counts = collections.Counter(itertools.chain(*words.values()))
    alone = [
        column
        for column, own in words.items()
        if len(words) > 1 and all(counts[each] == 1 for each in own)
    ]
    if alone:
        raise ValueError(
            f"Columns of {one_line(name, 80)!r} must have classes in common "
            "with one another. If one holds no labels, name those that do in "
            "`columns`; if all do, give `tasks` with class names. Received: "
            f"none in {one_line(', '.join(alone))}"
        )


def _warn_of_rare_classes(task, cells):
    counts = cells[cells.isin(task.class_names or ())].value_counts()
    rare = counts[counts * RARE < counts.mean()]
    if len(rare):
        told = (f"{name!r} ({count})" for name, count in rare.items())
        warnings.warn(
            f"Classes of task {one_line(task.name)!r} with few of its "
            f"{counts.sum():,} labels: {one_line(', '.join(told))}. If they "
            "are misspelled, correct them or give `tasks` with class names",
            stacklevel=3,
        )


def _warn_of_missing(name, cells):
    said = cells[cells.str.lower().isin(MAYBE_CLASSES)]
    if len(said):
        words = one_line(", ".join(map(repr, said.unique())))
        warnings.warn(
            f"{len(said):,} of the {len(cells):,} labels of task "
            f"{one_line(name)!r} are read as missing: {words}. If that is a "
            "class, give `tasks` with class names",
            stacklevel=3,
        )


def _warn_of_gaps(task, cells):
    given = set(cells[~cells.str.lower().isin(NO_CLASSES)])
    if task.class_names is None and task.num_classes > 2 * len(given):
        warnings.warn(
            f"Task {one_line(task.name)!r} has {task.num_classes} classes by "
            f"its largest id, of which {len(given)} are given. If the ids are "
            "names, give `tasks` with them as class names",
            stacklevel=3,
        )


def _alike(tasks):
    """Tasks whose names differ in their end alone, and that share classes:
    dict by what their names have in common of dicts of ends by name."""
    groups: dict[str, dict[str, Any]] = {}
    for task in tasks:
        if isinstance(task, CategoricalTask):
            end = re.search(r"(_[^_]+|\d+)?$", task.name)[0]
            stem = task.name.removesuffix(end)
            groups.setdefault(stem, {})[task.name] = (end, task.class_names)
    alike = {}
    for stem, group in groups.items():
        # Ids have no names.
        classes = [set(names or [None]) for _, names in group.values()]
        if stem and len(group) > 1 and set.intersection(*classes):
            alike[stem] = {name: end for name, (end, _) in group.items()}
    return alike


def tell_inferred(tasks: Tasks, report: ImportReport) -> None:
    """Adds to a report's notes which tasks were found in a table."""
    for task in tasks:
        is_class = isinstance(task, CategoricalTask)
        kind = "classes" if is_class else "dimensions"
        note = f"{kind} of the task {task.name}, inferred from the table"
        report.notes[note] = task.num_outputs


def infer_columns(
    frame: pd.DataFrame,
    ignored: Iterable[str] = (),
    known: Iterable[str] | None = None,
) -> dict[str, Any]:
    """The argument `columns` for a table whose header tells it; of a wide
    one only for the tasks that are `known`, by default all."""
    header, source = list(frame), frame.attrs.get("csv", "`df`")
    if set(LONG_COLUMNS) <= set(header):
        check_header(LONG_COLUMNS, frame, source)
        columns = {name: name for name in LONG_COLUMNS}
        for who in texts(frame["annotator"]).unique():
            if who == CLEAN:
                columns["clean"] = CLEAN
            elif who.casefold() == CLEAN:
                raise ValueError(
                    f"{source} must call the annotator of true labels clean. "
                    f"Received: {who}"
                )
        return columns
    labels: dict[str, dict[str, Any]] = {}
    clean: dict[str, Any] = {}
    for place, column in enumerate(map(str, header), start=1):
        if column in ("image", *ignored):
            continue
        if column in ("", f"Unnamed: {place - 1}"):
            raise ValueError(
                f"{source} must have a name for each column; a row's number is "
                "left out by `to_csv(index=False)`. Received: none for "
                f"column {place}"
            )
        name, _, annotator = column.partition(".")
        if column.casefold() == CLEAN or name.casefold() == CLEAN != name:
            raise ValueError(
                f"{source} must call a column of true labels clean.<task>. "
                f"Received: {column}"
            )
        if column.endswith("."):
            raise ValueError(
                f"{source} must name an annotator after a column's dot. "
                f"Received: {one_line(column)}"
            )
        if name == CLEAN:
            clean[annotator] = column
        else:
            labels.setdefault(name, {})[annotator] = column
    if "image" not in header or not labels:
        needed = "the column 'image'"
        if "image" in header:
            needed = "a column of labels beside 'image'"
        raise ValueError(
            f"{source} must have {needed}. Received: "
            f"{one_line(', '.join(map(str, header)))}{separator_hint(header)}"
        )
    valence, arousal = (_named(each, labels) for each in AFFECT)
    if valence and arousal and labels[valence].keys() == set(labels[arousal]):
        first, second = labels.pop(valence), labels.pop(arousal)
        labels["affect"] = {who: (first[who], second[who]) for who in first}
        true = [_named(each, clean) for each in AFFECT]
        if all(true):
            clean["affect"] = tuple(clean.pop(each) for each in true)
    if known is not None:
        labels = {name: labels[name] for name in known if name in labels}
        clean = {name: clean[name] for name in known if name in clean}
    elif not labels.keys().isdisjoint(KEYS):
        raise ValueError(
            f"{source} must have the columns {', '.join(LONG_COLUMNS)}, or "
            "`columns` must say which are of what. "
            f"Received: {one_line(', '.join(map(str, header)))}"
        )
    columns = {name: list(each.values()) for name, each in labels.items()}
    return {"image": "image", **columns, **({"clean": clean} if clean else {})}


def _named(dimension, columns):
    """The name that a dimension has among others, in capitals or not."""
    return next((n for n in columns if n.lower() == dimension), None)


def _categorical(name, cells, class_names):
    if class_names:
        return CategoricalTask(name, class_names=class_names)
    cells = cells[~cells.str.lower().isin(NO_CLASSES)]
    names = sorted(cells.unique())
    numbers = [cell_number(each) for each in names]
    count, kind = len(names), ""
    if any(each.lower().endswith(EXTENSIONS) for each in names):
        kind = "file names"
    elif count == len(cells) > MANY_DIFFERENT:
        kind = "different cells, as of ids"
    # Also beside names: of a column that is no annotator's.
    elif any(n is not None and not n.is_integer() for n in numbers):
        kind = "numbers that are not whole"
    elif names and None not in numbers:
        if 0 in numbers:
            count, names = 1 + int(max(numbers)), None
        else:
            # Of ids that begin at 1, class 0 would be nobody's.
            names.sort(key=cell_number)
    elif len({each.casefold() for each in names}) < count:
        folded = pd.Series([each.casefold() for each in names], names)
        twins = folded.index[folded == folded[folded.duplicated()].iloc[0]]
        raise ValueError(
            f"Classes of {one_line(name)!r} must differ in more than case. "
            f"Received: {one_line(' and '.join(map(repr, twins)))}"
        )
    if kind or not 2 <= count <= MAX_CLASSES:
        name = one_line(name, 80)
        task, _, who = name.partition("_")
        example = f"'{task}': {name!r}"
        if task in AFFECT:
            example = f"'affect': ('valence_{who}', 'arousal_{who}')"
        raise ValueError(
            f"Column or task {name!r} must have 2 to {MAX_CLASSES} "
            "classes to be a categorical task. Columns of labels are called "
            f"{task} or {task}.{who or '<annotator>'}, valence and arousal "
            "are values; where they have other names, `columns` says which "
            f"they are, such as {{'image': 'image', {example}}}; `ignored` "
            f"says which hold no labels. Received: {count} {kind}".rstrip()
        )
    return CategoricalTask(name, count, class_names=names)
