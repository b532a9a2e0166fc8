"""Tables of labels: what their columns hold and what a cell says."""

import dataclasses
import re

import numpy as np
import pandas as pd

from keras_noisyfer.tasks import CategoricalTask

# What may be written, in any case, where there is no label.
MISSING_CELLS = ("", "nan", "none", "null", "na", "n/a")
KEYS = ("image", "annotator", "task", "value", "clean")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.I)
_WHOLE_FLOAT = re.compile(r"([+-]?[0-9]{1,18})\.0+")


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
    def used(self):
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
    def used(self):
        """All columns, each once."""
        columns = [self.image, self.annotator, self.value]
        return columns + [self.task] * (self.task is not None)


def parse_columns(columns, tasks):
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
            return [tuple(group) for group in groups]
    expected = "a column, or a list of columns, one an annotator"
    if width > 1:
        expected = (
            f"{width} columns ({', '.join(dimensions)}), or a list of such "
            "groups, one an annotator"
        )
    raise ValueError(f"`{argument}` must be {expected}. Received: {given!r}")


def _parse_long(columns, tasks):
    _check_keys(columns, ["image", "annotator", "value"], ["task", "clean"])
    for key, column in columns.items():
        _column(key, column)
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


def cell_text(cell):
    """What is written in a cell, `""` if it is empty; 1.0 is "1".

    pandas writes the integers of a column as 1.0 once one cell of it is
    empty, so the two are the same, as text and as a number.
    """
    if not isinstance(cell, str) and (cell is None or pd.isna(cell)):
        return ""
    text = str(cell).strip()
    whole = _WHOLE_FLOAT.fullmatch(text)
    return str(int(whole[1])) if whole else text


def cell_number(text):
    """The number that a cell's text spells, however it does; None if none."""
    number = float(text) if _NUMBER.fullmatch(text) else np.inf
    return number if np.isfinite(number) else None


def cell_reader(task):
    """A `ClassCells` or `ValueCells` for the cells of a task."""
    if isinstance(task, CategoricalTask):
        return ClassCells(task)
    return ValueCells(task)


class _Cells:
    """Reads the cells of a task, column by column."""

    # Whether the cells are class ids.
    has_ids = False

    def __init__(self, task):
        self.task = task

    def read(self, cells, where):
        """Reads cells.

        Args:
            cells: Series of cells.
            where: Function of a cell's position that names its row.

        Returns:
            `(values, problems)`: float32 array of the numbers or class ids,
            NaN where missing; and a dict by position of
            `(problem, detail)`.
        """
        # Each different cell is understood once; -1 stands for empty ones.
        codes, different = pd.factorize(cells)
        values, problems = self._understand(
            different, lambda index: where(int(np.argmax(codes == index)))
        )
        wrong = np.flatnonzero(np.isin(codes, list(problems)))
        values = np.append(values, np.nan).astype("float32")[codes]
        return values, {int(each): problems[codes[each]] for each in wrong}

    def check_ids(self):
        """Checks what all cells have to be checked for together."""


class ClassCells(_Cells):
    """Cells with names or ids of classes, not both within a task.

    A cell that is a class name is that class, even if it is a number, and
    however that is spelled. Any other integer is a class id, -1 a missing
    label; where a class name is a number, there are no class ids.
    """

    def __init__(self, task):
        super().__init__(task)
        names = [cell_text(name) for name in task.class_names or ()]
        if len(set(names)) < len(names):
            raise ValueError(
                f"`class_names` of task '{task.name}' must be told apart in "
                f"a table. Received: {task.class_names}"
            )
        self._ids = {name: index for index, name in enumerate(names)}
        # The classes whose names spell a number.
        self._numbers = {}
        for index, name in enumerate(names):
            self._numbers.setdefault(cell_number(name), []).append(index)
        self._numbers.pop(None, None)
        self._first = {}
        # Where the number of classes stands, which is no class id.
        self._beyond = None
        self._expected = f"class ids are 0 to {task.num_classes - 1}"
        if names:
            self._expected = f"classes are {', '.join(names)}"

    def _understand(self, cells, where):
        values, problems = np.full(len(cells), np.nan), {}
        for index, cell in enumerate(cells):
            text = cell_text(cell)
            kind, number = self._meaning(text)
            if kind == "id" and self._numbers:
                raise ValueError(
                    f"Labels of task '{self.task.name}' must be class names "
                    f"where these are numbers: {', '.join(self._ids)}. "
                    f"Received: {text!r} in {where(index)}"
                )
            if kind in ("name", "id"):
                values[index] = number
                if kind not in self._first:
                    self._first[kind] = (text, where(index))
                    self._check_kinds()
            elif kind is not None:
                problems[index] = (kind, f"{text!r}; {self._expected}")
                if number == self.task.num_classes and not self._numbers:
                    self._beyond = self._beyond or where(index)
        return values, problems

    def _meaning(self, text):
        if text in self._ids:
            return "name", self._ids[text]
        if text.lower() in MISSING_CELLS:
            return None, None
        number = cell_number(text)
        # Where two names spell it, the cell must do so as one of them.
        if len(self._numbers.get(number, ())) == 1:
            return "name", self._numbers[number][0]
        if number is None or not number.is_integer():
            return "unknown class", None
        if number == -1:
            return None, None
        if not 0 <= number < self.task.num_classes:
            return "class id out of range", number
        return "id", number

    @property
    def has_ids(self):
        return "id" in self._first

    def check_ids(self):
        # Skipping it alone would shift all other labels by one.
        if self._beyond and "name" not in self._first:
            count = self.task.num_classes
            raise ValueError(
                f"Class ids of task '{self.task.name}' must begin at 0, the "
                f"last of {count} classes is {count - 1}. Received: {count} "
                f"in {self._beyond}, as if they began at 1"
            )

    def _check_kinds(self):
        if len(self._first) == 2:
            name, name_row = self._first["name"]
            number, id_row = self._first["id"]
            raise ValueError(
                f"Labels of task '{self.task.name}' must be all class names "
                f"or all class ids. Received: {name!r} in {name_row}, "
                f"{number!r} in {id_row}"
            )


class ValueCells(_Cells):
    """Cells with numbers."""

    def _understand(self, cells, where):
        texts = [cell_text(cell) for cell in cells]
        numbers = pd.to_numeric(
            pd.Series(texts, dtype=object), errors="coerce"
        ).to_numpy("float64")
        problems = {}
        for index in np.flatnonzero(np.isnan(numbers)):
            if texts[index].lower() not in MISSING_CELLS:
                problems[index] = ("not a number", repr(texts[index]))
        for index in np.flatnonzero(self.task.out_of_range(numbers)):
            problems[index] = (
                "value out of range",
                f"{texts[index]}; must be in [-1, 1]",
            )
        return numbers, problems
