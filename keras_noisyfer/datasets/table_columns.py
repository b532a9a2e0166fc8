"""Tables of labels: what their columns hold."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.table_cells import cell_text, named_after
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Tasks

KEYS = ("image", "annotator", "task", "value", "clean")


@dataclasses.dataclass(frozen=True)
class Columns:
    """What the columns of a table hold, see `from_dataframe`.

    Attributes:
        image: Column of the image's path.
        labels: Dict by task name of a list with one tuple an annotator: the
            columns of the label's values. Empty with `value`.
        clean: Dict by task name of such a tuple; with `annotator`, the name
            of the one whose labels count as the truth, or `None`.
        annotator: Column of the annotator's name where each row is of one,
            or `None`.
        task: Column that tells what `value` is, or `None`.
        value: Column of the label.
        slots: Dict by what the column `task` may hold of `(task, dimension)`,
            the task's name and an index.
    """

    image: str
    labels: dict[str, list[tuple[str, ...]]]
    clean: Any = None
    annotator: str | None = None
    task: str | None = None
    value: str | None = None
    slots: dict[str, tuple[str, int]] = dataclasses.field(default_factory=dict)

    @property
    def used(self) -> list[str]:
        """All columns, each once."""
        groups = [each for task in self.labels.values() for each in task]
        if self.annotator is None:
            groups += self.clean.values()
        one = (self.image, self.annotator, self.value, self.task)
        columns = [column for group in (one, *groups) for column in group]
        return [column for column in dict.fromkeys(columns) if column]

    @property
    def unit(self) -> list[str]:
        """What no two rows of a table may have in common."""
        if self.annotator is None:
            return ["image"]
        parts = ["task", "dimension"] * (self.task is not None)
        return ["image", "annotator", *parts]

    def names(self, task: str) -> list[str]:
        """The annotators of a task of which each has columns."""
        return ["+".join(group) for group in self.labels[task]]

    def melt(self, frame: pd.DataFrame, problems: dict) -> pd.DataFrame:
        """One row a cell.

        Args:
            frame: `pandas.DataFrame` with the columns `used`.
            problems: Dict by a row's position of `(problem, detail)`, to
                which those of bad rows are added.

        Returns:
            A `pandas.DataFrame` with the columns `row`, `task`, `dimension`,
            `annotator`, `clean`, `label`, what the cell is called, and
            `value`, the cell.
        """
        rows, parts = np.arange(len(frame)), []
        who: Any = None
        if self.annotator is not None:
            who = _texts(frame[self.annotator])
            for row in np.flatnonzero(who == ""):
                problems.setdefault(
                    row, ("no annotator", f"in {self.annotator}")
                )

        def add(rows, task, dimension, annotator, clean, label, value):
            cells = {"row": rows, "task": task, "dimension": dimension}
            cells |= {"annotator": annotator, "clean": clean, "label": label}
            parts.append(pd.DataFrame({**cells, "value": value}))

        if self.task is not None:
            slots = _texts(frame[self.task])
            known = {cell_text(each): slot for each, slot in self.slots.items()}
            for row in np.flatnonzero(~np.isin(slots, list(known))):
                expected = f"{self.task} may be {', '.join(known)}"
                problem = "unknown task", f"{slots[row]!r}; {expected}"
                problems.setdefault(row, problem)
            values = frame[self.value].to_numpy(object)
            for text, (task, dimension) in known.items():
                own = np.flatnonzero(slots == text)
                add(own, task, dimension, who[own], False, task, values[own])
        for task, groups in self.labels.items():
            truth = [] if who is not None else self.clean.get(task, [])
            for group in [*groups, *([truth] if truth else [])]:
                name = "+".join(group) if who is None else who
                for dimension, column in enumerate(group):
                    label = task if column == self.value else f"column {column}"
                    value = frame[column].to_numpy(object)
                    clean = group is truth
                    add(rows, task, dimension, name, clean, label, value)
        cells = pd.concat(parts, ignore_index=True).astype({"clean": bool})
        if self.annotator is not None and self.clean is not None:
            cells["clean"] = cells["annotator"] == cell_text(self.clean)
            if not cells["clean"].any():
                raise ValueError(
                    "`columns['clean']` must be the name of an annotator in "
                    f"the table. Received: {self.clean!r}"
                )
        return cells


def _texts(cells):
    """What is written in each cell, an array."""
    codes, different = pd.factorize(cells)
    return np.array([*map(cell_text, different), ""], object)[codes]


def parse_columns(columns: Any, tasks: Tasks) -> Columns:
    """Checks the `columns` of `from_dataframe` and `from_csv`, of which it
    makes `Columns`; a `ValueError` if they do not follow the grammar."""
    if not isinstance(columns, dict) or "image" not in columns:
        raise ValueError(
            "`columns` must be a dict with the key 'image'. "
            f"Received: {columns!r}"
        )
    names = [task.name for task in tasks]
    if set(names) & set(KEYS):
        raise ValueError(
            f"Tasks of a table must not be named {', '.join(KEYS)}, the "
            f"keys of `columns`. Received: {one_line(', '.join(names))}"
        )
    if columns.keys() & {"task", "value"}:
        _check_keys(columns, ["image", "annotator", "value"], ["task", "clean"])
        return _parse_long(columns, tasks)
    _check_keys(columns, ["image", *names], ["annotator", "clean"])
    one_each = "annotator" in columns
    for key in ("image", "annotator", *["clean"] * one_each):
        _check_column(key, columns)
    clean = {} if one_each else columns.get("clean", {})
    if not isinstance(clean, dict) or not clean.keys() <= set(names):
        raise ValueError(
            "`columns['clean']` must be a dict by task name of columns. "
            f"Received: {clean!r}"
        )
    labels, truths = {}, {}
    for task in tasks:
        argument, given = f"columns['{task.name}']", columns[task.name]
        groups = _groups(argument, task, given)
        used = [column for group in groups for column in group]
        if len(set(used)) != len(used):
            raise ValueError(
                f"`{argument}` must name each column once. Received: {given!r}"
            )
        if one_each and len(groups) != 1:
            raise ValueError(_one_label(argument, given))
        labels[task.name] = groups
        if task.name in clean:
            argument = f"columns['clean']['{task.name}']"
            groups = _groups(argument, task, clean[task.name])
            if len(groups) != 1:
                raise ValueError(_one_label(argument, clean[task.name]))
            if set(used) & set(groups[0]):
                raise ValueError(
                    f"`{argument}` must be columns that are none of "
                    f"`columns['{task.name}']`: labels that are their own "
                    f"truth have no noise. Received: {clean[task.name]!r}"
                )
            truths[task.name] = groups[0]
    return Columns(
        columns["image"],
        labels,
        columns.get("clean") if one_each else truths,
        columns.get("annotator"),
    )


def _one_label(argument, given):
    return f"`{argument}` must be the columns of one label. Received: {given!r}"


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
    named = [named_after(column, dimensions) for column in group]
    known = [each for each in named if each is not None]
    if len(set(known)) == len(known) and any(
        each not in (None, index) for index, each in enumerate(named)
    ):
        raise ValueError(
            f"`{argument}` must name the columns in the order of the "
            f"dimensions: {', '.join(dimensions)}. "
            f"Received: {one_line(', '.join(group))}"
        )


def _parse_long(columns, tasks):
    for key in columns:
        _check_column(key, columns)
    used = [column for key, column in columns.items() if key != "clean"]
    if len(set(used)) < len(used):
        raise ValueError(
            f"`columns` must name each column once. Received: {', '.join(used)}"
        )
    labels, slots = {}, {}
    if "task" in columns:
        slots = _slots(tasks)
    elif len(tasks) == 1 and len(getattr(tasks[0], "dimensions", "1")) == 1:
        labels = {tasks[0].name: [(columns["value"],)]}
    else:
        raise ValueError(
            "`columns` must have the key 'task' unless there is one task "
            f"with one value. Received: {columns}"
        )
    return Columns(labels=labels, slots=slots, **columns)


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


def _check_column(key, columns):
    if not isinstance(columns.get(key, ""), str):
        raise ValueError(
            f"`columns['{key}']` must be a string. Received: {columns[key]!r}"
        )


def check_cells(frame: pd.DataFrame, row_name: Callable[[int], str]) -> None:
    """Raises a `ValueError` at a cell that holds a list or an array."""
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
