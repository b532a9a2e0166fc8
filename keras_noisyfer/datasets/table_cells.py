"""Tables of labels: a CSV file as text, and what a cell says."""

import os
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import RowTooLong, open_rows
from keras_noisyfer.tasks import CategoricalTask, Task
from keras_noisyfer.typing import PathLike

# What may be written, in any case, where there is no label.
MISSING_CELLS = ("", "nan", "none", "null", "na", "n/a")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.I)
_WHOLE_FLOAT = re.compile(r"([+-]?[0-9]{1,18})\.0+")
_SKIPPED = re.compile(r"Skipping line (\d+): expected (\d+) fields, saw (\d+)")


def read_csv(path: PathLike, report: ImportReport) -> pd.DataFrame:
    """Reads a CSV file: every cell as text, and none changes its column.

    Rows with more values than the first one has names are rejected, rows
    without any value but blanks are passed over.

    Args:
        path: The file, in UTF-8 with commas.
        report: `ImportReport`.

    Returns:
        A `pandas.DataFrame` whose index numbers the rows as a spreadsheet
        does: 1 is the row of names.

    Raises:
        ValueError: if the file cannot be read, and as the report says.
    """
    if not os.path.isfile(path):
        raise ValueError(
            f"`path` must be a CSV file. Received: {path}, where there is no "
            "file"
        )
    try:
        with open_rows(path) as file, warnings.catch_warnings(record=True) as w:
            warnings.simplefilter("always", pd.errors.ParserWarning)
            # Where pandas reads names it takes what is too much for an index.
            frame = pd.read_csv(
                file,
                header=None,
                dtype=object,
                na_filter=False,
                index_col=False,
                skip_blank_lines=False,
                on_bad_lines="warn",
            )
    except pd.errors.EmptyDataError:
        raise ValueError(
            "`path` must be a CSV file whose first row names the columns. "
            f"Received: {path}, whose first row is empty"
        ) from None
    except (UnicodeError, pd.errors.ParserError, OSError, RowTooLong) as error:
        raise ValueError(
            "`path` must be a CSV file in UTF-8 whose quotes are closed. "
            f"Received: {path}: {one_line(error)}"
        ) from error
    skipped = []
    for row, names, values in _SKIPPED.findall(
        "".join(str(e.message) for e in w)
    ):
        detail = f"{values} values, {names} names of columns"
        report.reject(f"row {row}", "too many values", detail)
        skipped.append(int(row))
    numbers = np.arange(1, len(frame) + len(skipped) + 1)
    frame.index = np.setdiff1d(numbers, skipped)
    frame.columns = frame.iloc[0].str.strip().to_list()
    blank = frame = frame.iloc[1:]
    for column in range(len(frame.columns)):
        blank = blank[blank.iloc[:, column].str.strip() == ""]
    return frame.drop(blank.index)


def choose_rows(
    frame: pd.DataFrame, where: dict[str, str], path: PathLike
) -> pd.DataFrame:
    """The rows that the argument `where` of `from_csv` chooses."""
    if not isinstance(where, dict) or not all(
        isinstance(each, str) for item in where.items() for each in item
    ):
        raise ValueError(
            f"`where` must be a dict by column of a text. Received: {where!r}"
        )
    check_header(where, list(frame), str(path))
    texts = frame[[*where]].map(cell_text)
    chosen = frame[(texts == pd.Series(where).map(cell_text)).all(axis=1)]
    if where and chosen.empty:
        there = " and ".join(
            f"{column} is {', '.join(sorted(map(repr, each.unique()[:20])))}"
            for column, each in texts.items()
        )
        raise ValueError(
            f"`where` must choose a row of {path}, in which {one_line(there)}. "
            f"Received: {where}"
        )
    return chosen


def check_header(used: Iterable[str], header: list[str], table: object) -> None:
    """Raises a `ValueError` unless a header has each used column once."""
    used = list(used)
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


def named_after(column: str, names: Sequence[str]) -> int | None:
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


def cell_text(cell: Any, form: Any = "NFC") -> str:
    """What is written in a cell, `""` if it is empty; 1.0 is "1".

    pandas writes the integers of a column as 1.0 once one cell of it is
    empty, so the two are the same, as text and as a number. So are texts that
    look alike: spaces around them do not count, nor does the Unicode normal
    form, unless `form` is None.
    """
    if not isinstance(cell, str) and (cell is None or pd.isna(cell)):
        return ""
    text = str(cell).strip()
    if form and not text.isascii():
        text = unicodedata.normalize(form, text)
    whole = _WHOLE_FLOAT.fullmatch(text)
    return str(int(whole[1])) if whole else text


def cell_number(text: str) -> float | None:
    """The number that a cell's text spells, however it does; None if none."""
    number = float(text) if _NUMBER.fullmatch(text) else np.inf
    return number if np.isfinite(number) else None


def cell_reader(task: Task) -> "ClassCells | ValueCells":
    """A `ClassCells` or `ValueCells` for the cells of a task."""
    if isinstance(task, CategoricalTask):
        return ClassCells(task)
    return ValueCells(task)


class _Cells:
    """Reads the cells of a task, column by column."""

    # Whether the cells are class ids, and whether one of these is 0.
    has_ids: Any = False
    has_0 = False

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

    def check_ids(self, annotators):
        """Checks what all cells have to be checked for together.

        Args:
            annotators: Names of the annotators or of their columns.
        """

    def note_ids(self, report):
        """Adds to an `ImportReport` what seems to be wrong with all cells."""


class ClassCells(_Cells):
    """Cells with names or ids of classes, not both within a task.

    A cell that is a class name is that class, even if it is a number, and
    however that is spelled. Any other integer is a class id, -1 a missing
    label; where a class name is a number, there are no class ids.
    """

    def __init__(self, task: CategoricalTask):
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
                self.has_0 |= number == 0
                if kind not in self._first:
                    self._first[kind] = (text, where(index))
                    self._check_kinds()
            elif kind is not None:
                json = text.startswith(("{", "["))
                hint = "; it seems to be JSON, not one label" * json
                problems[index] = (kind, f"{text!r}; {self._expected}{hint}")
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
    def has_ids(self) -> bool:
        return "id" in self._first

    def check_ids(self, annotators: Sequence[str]) -> None:
        names = self.task.class_names or ()
        classes = [named_after(each, names) for each in annotators]
        # Annotators of which each is called like another class.
        if (
            self.has_ids
            and None not in classes
            and len(set(classes)) == len(classes) > 1
        ):
            raise ValueError(
                f"`columns` must name annotators of task '{self.task.name}', "
                "not its classes, as one-hot or vote columns do: make one "
                "column of class names with `df[columns].idxmax(axis=1)`, or "
                f"rename the annotators. Received: "
                f"{one_line(', '.join(annotators))}"
            )
        # Skipping it alone would shift all other labels by one.
        if self._beyond and "name" not in self._first:
            count = self.task.num_classes
            raise ValueError(
                f"Class ids of task '{self.task.name}' must begin at 0, the "
                f"last of {count} classes is {count - 1}. Received: {count} "
                f"in {self._beyond}, as if they began at 1"
            )

    def note_ids(self, report: ImportReport) -> None:
        # Without names it does not matter what they begin at.
        if not self.has_ids or self.has_0 or not self._ids:
            return
        name, first = self.task.name, next(iter(self._ids))
        report.notes[f"labels of {name} with the class id 0, {first}"] = 0
        warnings.warn(
            f"No cell of task '{name}' is 0, the class id of "
            f"{one_line(first)}. If the "
            "ids count from 1, each label is read as the next class: "
            "subtract 1 or write class names",
            stacklevel=5,
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
