"""Tables of labels: what their columns hold."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from keras_noisyfer.arguments import one_line
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Tasks

KEYS = ("image", "annotator", "task", "value", "clean")


@dataclasses.dataclass(frozen=True)
class WideColumns:
    """A table with one row an image.

    Attributes:
        image: Column of the image's path.
        labels: Dict by task name of a list with one tuple an annotator: the
            columns of the label's values.
        clean: Dict by task name of such a tuple.
    """

    image: str
    labels: dict
    clean: dict

    @property
    def used(self) -> list[str]:
        """All columns, each once."""
        groups = [each for task in self.labels.values() for each in task]
        groups += self.clean.values()
        columns = [column for group in groups for column in group]
        return list(dict.fromkeys([self.image, *columns]))


@dataclasses.dataclass(frozen=True)
class LongColumns:
    """A table with one row a label, or one of its values.

    Attributes:
        image: Column of the image's path.
        annotator: Column of the annotator's name.
        value: Column of the label.
        task: Column that tells what `value` is, or `None`.
        slots: Dict by what that column may hold of `(task, dimension)`, the
            task's name and an index.
        clean: Name of the annotator whose labels count as the truth, or
            `None`.
    """

    image: str
    annotator: str
    value: str
    task: str | None
    slots: dict
    clean: str | None

    @property
    def used(self) -> list[str]:
        """All columns, each once."""
        columns = [self.image, self.annotator, self.value]
        return columns if self.task is None else [*columns, self.task]


def parse_columns(columns: Any, tasks: Tasks) -> WideColumns | LongColumns:
    """Checks the `columns` of `from_dataframe` and `from_csv`.

    Args:
        columns: The dict.
        tasks: Tuple of tasks.

    Returns:
        `WideColumns` or `LongColumns`.

    Raises:
        ValueError: if it does not follow the grammar.
    """
    if not isinstance(columns, dict) or "image" not in columns:
        raise ValueError(
            "`columns` must be a dict with the key 'image'. "
            f"Received: {columns!r}"
        )
    for task in tasks:
        if task.name in KEYS:
            raise ValueError(
                f"Tasks of a table must not be named {', '.join(KEYS)}, the "
                f"keys of `columns`. Received: {task.name}"
            )
    if columns.keys() & {"annotator", "task", "value"}:
        return _parse_long(columns, tasks)
    return _parse_wide(columns, tasks)


def _parse_wide(columns, tasks):
    names = [task.name for task in tasks]
    _check_keys(columns, ["image", *names], ["clean"])
    clean = columns.get("clean", {})
    if not isinstance(clean, dict) or not clean.keys() <= set(names):
        raise ValueError(
            "`columns['clean']` must be a dict by task name of columns. "
            f"Received: {clean!r}"
        )
    labels, truths = {}, {}
    for task in tasks:
        groups = _groups(f"columns['{task.name}']", task, columns[task.name])
        used = [column for group in groups for column in group]
        if len(set(used)) != len(used):
            raise ValueError(
                f"`columns['{task.name}']` must name each column once. "
                f"Received: {columns[task.name]!r}"
            )
        labels[task.name] = groups
        if task.name in clean:
            argument = f"columns['clean']['{task.name}']"
            groups = _groups(argument, task, clean[task.name])
            if len(groups) != 1:
                raise ValueError(
                    f"`{argument}` must be the columns of one label. "
                    f"Received: {clean[task.name]!r}"
                )
            if set(used) & set(groups[0]):
                raise ValueError(
                    f"`{argument}` must be columns that are none of "
                    f"`columns['{task.name}']`: labels that are their own "
                    f"truth have no noise. Received: {clean[task.name]!r}"
                )
            truths[task.name] = groups[0]
    return WideColumns(_column("image", columns["image"]), labels, truths)


def _groups(argument, task, given):
    """One tuple of columns an annotator."""
    groups = [given] if isinstance(given, str) else given
    dimensions = getattr(task, "dimensions", None)
    width = len(dimensions or "1")
    if isinstance(groups, (list, tuple)) and groups:
        if all(isinstance(each, str) for each in groups):
            flat = tuple(groups)
            groups = [(each,) for each in flat] if width == 1 else [flat]
        if all(
            isinstance(group, (list, tuple))
            and len(group) == width
            and all(isinstance(each, str) for each in group)
            for group in groups
        ):
            for group in groups:
                _check_order(argument, group, dimensions or ())
            return [tuple(group) for group in groups]
    expected = "a column, or a list of columns, one an annotator"
    if width > 1:
        expected = (
            f"{width} columns ({', '.join(dimensions)}), or a list of such "
            "groups, one an annotator"
        )
    raise ValueError(f"`{argument}` must be {expected}. Received: {given!r}")


def _check_order(argument, group, dimensions):
    """Raises a `ValueError` if columns are those of other dimensions."""
    named = [_named_after(column, dimensions) for column in group]
    known = [each for each in named if each is not None]
    if len(set(known)) == len(known) and any(
        each not in (None, index) for index, each in enumerate(named)
    ):
        raise ValueError(
            f"`{argument}` must name the columns in the order of the "
            f"dimensions: {', '.join(dimensions)}. "
            f"Received: {one_line(', '.join(group))}"
        )


def check_votes(task: CategoricalTask, annotators: Sequence[str]) -> None:
    """Checks that what seem to be annotators with class ids are not classes.

    Args:
        task: Categorical task whose cells are class ids.
        annotators: Names of its columns, or of its annotators.

    Raises:
        ValueError: if each is named after another class.
    """
    named = set()
    for each in annotators:
        index = _named_after(each, task.class_names or ())
        if index is None or index in named:
            return
        named.add(index)
    if len(named) > 1:
        raise ValueError(
            f"`columns` must name annotators of task '{task.name}', not its "
            "classes, as one-hot or vote columns do: make one column of "
            "class names with `df[columns].idxmax(axis=1)`, or rename the "
            f"annotators. Received: {one_line(', '.join(annotators))}"
        )


def _named_after(column, names):
    """Index of the one name that a column has, or that it begins or ends
    with, as `valence` in `machine_valence`; None if there is none."""
    column = column.strip().casefold()
    names = [name.strip().casefold() for name in names]
    if column in names:
        return names.index(column)
    found = [
        index
        for index, name in enumerate(names)
        if re.search(
            rf"^{re.escape(name)}[\W_]|[\W_]{re.escape(name)}$", column
        )
    ]
    return found[0] if len(found) == 1 else None


def _parse_long(columns, tasks):
    _check_keys(columns, ["image", "annotator", "value"], ["task", "clean"])
    for key, column in columns.items():
        _column(key, column)
    used = [column for key, column in columns.items() if key != "clean"]
    if len(set(used)) < len(used):
        raise ValueError(
            f"`columns` must name each column once. Received: {', '.join(used)}"
        )
    slots = {}
    if "task" in columns:
        slots = _slots(tasks)
    elif len(tasks) == 1 and len(getattr(tasks[0], "dimensions", "1")) == 1:
        slots = {"": (tasks[0].name, 0)}
    else:
        raise ValueError(
            "`columns` must have the key 'task' unless there is one task "
            f"with one value. Received: {columns}"
        )
    return LongColumns(
        columns["image"],
        columns["annotator"],
        columns["value"],
        columns.get("task"),
        slots,
        columns.get("clean"),
    )


def _slots(tasks):
    slots, bare = {}, {}
    for task in tasks:
        if isinstance(task, CategoricalTask):
            slots[task.name] = (task.name, 0)
            continue
        for index, dimension in enumerate(task.dimensions):
            slots[f"{task.name}.{dimension}"] = (task.name, index)
            bare.setdefault(dimension, []).append((task.name, index))
    # A dimension's name alone will do where it can mean one thing only.
    taken = {task.name for task in tasks}
    for dimension, places in bare.items():
        if len(places) == 1 and dimension not in taken:
            slots[dimension] = places[0]
    return slots


def _check_keys(columns, required, optional):
    keys = set(columns)
    if not set(required) <= keys <= {*required, *optional}:
        raise ValueError(
            f"`columns` must have the keys {', '.join(required)}, and may "
            f"have {', '.join(optional)}. "
            f"Received: {', '.join(map(str, columns))}"
        )


def _column(key, column):
    if not isinstance(column, str):
        raise ValueError(
            f"`columns['{key}']` must be a string. Received: {column!r}"
        )
    return column
