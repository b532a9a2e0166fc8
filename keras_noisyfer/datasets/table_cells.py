"""Tables of labels: a CSV file as text, and what a cell says."""

import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
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


def read_csv(path: PathLike) -> pd.DataFrame:
    """Reads a CSV file in UTF-8: every cell as text, none changes its column.

    Returns:
        A `pandas.DataFrame` without the rows of blanks, whose index numbers
        the rows as a spreadsheet does: 1 is the row of names. Its
        `attrs["path"]` is the file, `attrs["surplus"]` a dict by row of what
        is to be said of rows with more values than the first has names,
        which are left out.

    Raises:
        ValueError: if the file cannot be read.
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
    surplus = {
        int(row): f"{values} values, {names} names of columns"
        for each in w
        for row, names, values in _SKIPPED.findall(str(each.message))
    }
    numbers = np.arange(1, len(frame) + len(surplus) + 1)
    frame.index = np.setdiff1d(numbers, list(surplus))
    frame.columns = frame.iloc[0].str.strip().to_list()
    blank = frame = frame.iloc[1:]
    for column in range(len(frame.columns)):
        blank = blank[blank.iloc[:, column].str.strip() == ""]
    frame = frame.drop(blank.index)
    frame.attrs = {"path": path, "surplus": surplus}
    return frame


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
    found = frame[[*where]].apply(texts)
    chosen = frame[(found == pd.Series(where).map(cell_text)).all(axis=1)]
    if where and chosen.empty:
        there = " and ".join(
            f"{column} is {', '.join(sorted(map(repr, each.unique()[:20])))}"
            for column, each in found.items()
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


def texts(cells: pd.Series, form: Any = "NFC") -> pd.Series:
    """What is written in each cell; each different one is read once."""
    codes, different = pd.factorize(cells)
    found = [*(cell_text(cell, form) for cell in different), ""]
    # Of an empty cell the code is -1, which takes the last.
    return pd.Series(np.array(found, object)[codes], cells.index, object)


def cell_number(text: str) -> float | None:
    """The number that a cell's text spells, however it does; None if none."""
    number = float(text) if _NUMBER.fullmatch(text) else np.inf
    return number if np.isfinite(number) else None


def read_cells(
    cells: pd.DataFrame,
    task: Task,
    row_name: Callable[[int], str],
    report: ImportReport,
) -> tuple[pd.DataFrame, bool]:
    """Reads the cells of a task.

    Args:
        cells: The cells of `Columns.melt` that are the task's.
        task: The task.
        row_name: Function of a row's position that names it.
        report: `ImportReport`, which is told of ids without a 0.

    Returns:
        `(found, has_ids)`: a table with the columns `value`, the number or
        class id, NaN where missing, `problem` and `detail`, what is wrong
        with the cell, None if nothing; and whether cells are class ids.

    Raises:
        ValueError: if the cells are class names and class ids, or ids where
            names are numbers, or count from 1, or annotators are classes.
    """
    written = texts(cells["value"])
    different = written.drop_duplicates()
    has_ids = False
    if isinstance(task, CategoricalTask):
        found, has_ids = _read_classes(
            task, different, cells, lambda i: row_name(cells["row"][i]), report
        )
    else:
        found = _read_values(task, different)
    found = found.set_index(different).loc[written]
    return found.set_axis(cells.index), has_ids


def _read_values(task, cells):
    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    found = pd.DataFrame({"value": numbers, "problem": None, "detail": None})
    missing = cells.str.lower().isin(MISSING_CELLS)
    wrong = numbers.isna() & ~missing
    found.loc[wrong, "problem"] = "not a number"
    found.loc[wrong, "detail"] = cells[wrong].map(repr)
    wrong = task.out_of_range(numbers.to_numpy())
    found.loc[wrong, "problem"] = "value out of range"
    found.loc[wrong, "detail"] = cells[wrong] + "; must be in [-1, 1]"
    return found


def _read_classes(task, cells, all_cells, where, report):
    """Names or ids of classes, not both within a task.

    A cell that is a class name is that class, even if it is a number, and
    however that is spelled. Any other integer is a class id, -1 a missing
    label; where a class name is a number, there are no class ids.
    """
    names = [cell_text(name) for name in task.class_names or ()]
    if len(set(names)) < len(names):
        raise ValueError(
            f"`class_names` of task '{task.name}' must be told apart in "
            f"a table. Received: {task.class_names}"
        )
    numbers = [cell_number(name) for name in names]
    has_numbers = any(number is not None for number in numbers)

    def meaning(text):
        """The kind of a cell, or its problem, and the class id."""
        if text in names:
            return "name", names.index(text)
        if text.lower() in MISSING_CELLS:
            return None, None
        number = cell_number(text)
        # Where two names spell it, the cell must do so as one of them.
        if number is not None and numbers.count(number) == 1:
            return "name", numbers.index(number)
        if number is None or not number.is_integer():
            return "unknown class", None
        if number == -1:
            return None, None
        if not 0 <= number < task.num_classes:
            return "class id out of range", number
        return "id", number

    meanings = [meaning(text) for text in cells]
    kind = pd.Series([kind for kind, _ in meanings], cells.index, object)
    value = pd.Series([value for _, value in meanings], cells.index, "float64")
    first = {each: index for index, each in kind.iloc[::-1].items()}
    has_ids = "id" in first
    if has_ids and has_numbers:
        raise ValueError(
            f"Labels of task '{task.name}' must be class names "
            f"where these are numbers: {', '.join(names)}. "
            f"Received: {cells[first['id']]!r} in {where(first['id'])}"
        )
    if has_ids and "name" in first:
        name, number = first["name"], first["id"]
        raise ValueError(
            f"Labels of task '{task.name}' must be all class names "
            f"or all class ids. Received: {cells[name]!r} in {where(name)}, "
            f"{cells[number]!r} in {where(number)}"
        )
    if has_ids:
        given = all_cells["annotator"][~all_cells["clean"]]
        _check_annotators(task, given.unique())
    # Skipping it alone would shift all other labels by one.
    count = task.num_classes
    beyond = kind.index[value == count]
    if len(beyond) and "name" not in first and not has_numbers:
        raise ValueError(
            f"Class ids of task '{task.name}' must begin at 0, the "
            f"last of {count} classes is {count - 1}. Received: {count} "
            f"in {where(beyond[0])}, as if they began at 1"
        )
    # Without names it does not matter what they begin at.
    if has_ids and names and not (value == 0).any():
        note = f"labels of {task.name} with the class id 0, {names[0]}"
        report.notes[note] = 0
        warnings.warn(
            f"No cell of task '{task.name}' is 0, the class id of "
            f"{one_line(names[0])}. If the ids count from 1, each label is "
            "read as the next class: subtract 1 or write class names",
            stacklevel=6,
        )
    expected = f"class ids are 0 to {count - 1}"
    if names:
        expected = f"classes are {', '.join(names)}"
    json = cells.str.startswith(("{", "["))
    hint = json.map({True: "; it seems to be JSON, not one label", False: ""})
    is_good = kind.isna() | kind.isin(["name", "id"])
    found = pd.DataFrame({"value": value.where(is_good)})
    found["problem"] = kind.mask(is_good, None)
    found["detail"] = cells.map(repr) + f"; {expected}" + hint
    return found, has_ids


def _check_annotators(task, annotators):
    """Raises a `ValueError` where each is called like another class."""
    classes = [named_after(each, task.class_names or ()) for each in annotators]
    if None not in classes and len(set(classes)) == len(classes) > 1:
        raise ValueError(
            f"`columns` must name annotators of task '{task.name}', "
            "not its classes, as one-hot or vote columns do: make one "
            "column of class names with `df[columns].idxmax(axis=1)`, or "
            f"rename the annotators. Received: "
            f"{one_line(', '.join(annotators))}"
        )
