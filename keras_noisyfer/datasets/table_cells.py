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
from keras_noisyfer.files import RowTooLong, open_rows
from keras_noisyfer.tasks import CategoricalTask, Task
from keras_noisyfer.typing import PathLike

# What may be written, in any case, where there is no label.
MISSING_CELLS = ("", "nan", "none", "null", "na", "n/a")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.I)
_WHOLE_FLOAT = re.compile(r"([+-]?[0-9]{1,18})\.0+")
_SKIPPED = re.compile(r"Skipping line (\d+): expected (\d+) fields, saw (\d+)")


def read_csv(path: PathLike) -> pd.DataFrame:
    """Reads a CSV file in UTF-8: every cell as text, none changes its column. A
    `ValueError` if it cannot be read.

    Returns:
        A `pandas.DataFrame` without rows of blanks and those of too many
        values, whose index numbers the rows as a spreadsheet does: 1 is the row
        of names. `attrs["csv"]` is the file, `attrs["surplus"]` a dict by row
        of what is to be said of those of too many values.
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
    frame.attrs = {"csv": path, "surplus": surplus}
    return frame


def choose_rows(
    frame: pd.DataFrame, where: dict[str, str], table: object
) -> pd.DataFrame:
    """The rows that the argument `where` of `from_csv` chooses."""
    if not isinstance(where, dict) or not all(
        isinstance(each, str) for item in where.items() for each in item
    ):
        raise ValueError(
            f"`where` must be a dict by column of a text. Received: {where!r}"
        )
    check_header(where, frame, table)
    found = frame[[*where]].apply(texts)
    chosen = frame[(found == pd.Series(where).map(cell_text)).all(axis=1)]
    if where and chosen.empty:
        there = " and ".join(
            f"{column} is {', '.join(sorted(map(repr, each.unique()[:20])))}"
            for column, each in found.items()
        )
        raise ValueError(
            f"`where` must choose a row of {table}, in which "
            f"{one_line(there)}. Received: {where}"
        )
    return chosen


def separator_hint(header: list[str]) -> str:
    """What to add to an error where values are not separated by commas."""
    if len(header) == 1 and re.search(r"[;\t|]", str(header[0])):
        return (
            ". The values must be separated by commas; give others as "
            "`from_dataframe(pandas.read_csv(path, sep=...), ...)`"
        )
    return ""


def check_header(
    used: Iterable[str], frame: pd.DataFrame, table: object
) -> None:
    """Raises a `ValueError` unless a table has each used column once."""
    header, used = list(frame), list(used)
    for column in used:
        if header.count(column) > 1:
            raise ValueError(
                f"{table} must have each column of `columns` once. "
                f"Received: {header.count(column)} columns {column!r}"
            )
    missing = [column for column in used if column not in header]
    if missing:
        hint = separator_hint(header)
        there = one_line(", ".join(map(str, header)))
        raise ValueError(
            f"`columns` must name columns of {table}: {there}. "
            f"Received: {', '.join(missing)}{hint}"
        )


def check_cells(frame: pd.DataFrame, row_name: Callable[[int], str]) -> None:
    """Raises a `ValueError` at a cell that holds a list or an array."""
    for column, cells in frame.items():
        is_list = cells.astype(object).map(pd.api.types.is_list_like)
        for position in np.flatnonzero(is_list)[:1]:
            raise ValueError(
                "Each cell of `df` must be one text or number. Received: "
                f"{one_line(repr(cells.iloc[position]), 80)} in column "
                f"{column}, {row_name(position)}"
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

    pandas writes integers as 1.0 once a cell of the column is empty. Spaces
    around a text do not count, nor does its Unicode normal form, unless
    `form` is None.
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
    """The number that a cell's text spells, or None."""
    number = float(text) if _NUMBER.fullmatch(text) else np.inf
    return number if np.isfinite(number) else None


def read_cells(
    cells: pd.DataFrame, task: Task, row_name: Callable[[int], str]
) -> tuple[pd.DataFrame, bool]:
    """Reads the cells of a task, rows of `Columns.melt`: a `ValueError` if they
    are class names and class ids, or ids where names are numbers, or count from
    1, or annotators are classes.

    Returns:
        `(cells, has_ids)`: the cells whose `value` is now the number or class
        id, NaN where missing, with the columns `problem` and `detail`, None
        where nothing is wrong; and whether they are class ids.
    """
    # Each different text is read once.
    codes, different = pd.factorize(texts(cells["value"]))
    written = pd.Series(different, dtype=object)
    has_ids = False
    if isinstance(task, CategoricalTask):
        rows = cells["row"].groupby(codes).first()
        found, has_ids = _read_classes(task, written, cells, rows.map(row_name))
    else:
        found = _read_values(task, written)
    found = found.astype({"value": "float32"}).iloc[codes]
    return cells.assign(**found.set_index(cells.index)), has_ids


def _read_values(task, cells):
    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    is_none = numbers.isna() & ~cells.str.lower().isin(MISSING_CELLS)
    is_far = task.out_of_range(numbers)
    found = pd.DataFrame({"value": numbers, "problem": None, "detail": None})
    found.loc[is_none, "problem"] = "not a number"
    found.loc[is_none, "detail"] = cells.map(repr)
    found.loc[is_far, "problem"] = "value out of range"
    found.loc[is_far, "detail"] = cells + "; must be in [-1, 1]"
    return found


def _read_classes(task, written, cells, places):
    """Names or ids of classes, not both within a task; see `from_dataframe`.

    `places` are the first rows of what is written, by name.
    """
    count = task.num_classes
    names = [cell_text(name) for name in task.class_names or ()]
    if len(set(names)) < len(names):
        raise ValueError(
            f"`class_names` of task '{task.name}' must be told apart in "
            f"a table. Received: {task.class_names}"
        )
    numbers = [cell_number(name) for name in names]
    has_numbers = any(number is not None for number in numbers)

    def meaning(text):
        """The class id of a text, and of which kind it is, or its problem."""
        if text in names:
            return names.index(text), "name"
        number = cell_number(text)
        if text.lower() in MISSING_CELLS:
            return None, None
        # Where two names spell it, the cell must do so as one of them.
        if number is not None and numbers.count(number) == 1:
            return numbers.index(number), "name"
        if number is None or not number.is_integer():
            return None, "unknown class"
        if number == -1:
            return None, None
        is_class = 0 <= number < count
        return number, "id" if is_class else "class id out of range"

    found = pd.DataFrame(
        map(meaning, written), columns=["value", "problem"], dtype=object
    )
    found["value"] = found["value"].astype("float64")
    seen = {}
    for kind, text, place in zip(
        found["problem"], written, places, strict=True
    ):
        seen.setdefault(kind, f"{text!r} in {place}")
    has_ids = "id" in seen
    if has_ids and has_numbers:
        raise ValueError(
            f"Labels of task '{task.name}' must be class names "
            f"where these are numbers: {', '.join(names)}. "
            f"Received: {seen['id']}"
        )
    if has_ids and "name" in seen:
        raise ValueError(
            f"Labels of task '{task.name}' must be all class names "
            f"or all class ids. Received: {seen['name']}, {seen['id']}"
        )
    if has_ids:
        _check_annotators(task, cells["annotator"][~cells["clean"]].unique())
    # Skipping it alone would shift all other labels by one.
    beyond = found.index[found["value"] == count]
    if len(beyond) and "name" not in seen and not has_numbers:
        raise ValueError(
            f"Class ids of task '{task.name}' must begin at 0, the "
            f"last of {count} classes is {count - 1}. Received: {count} "
            f"in {places[beyond[0]]}, as if they began at 1"
        )
    expected = f"class ids are 0 to {count - 1}"
    if names:
        expected = f"classes are {', '.join(names)}"
    found["detail"] = [
        f"{text!r}; {expected}"
        + "; it seems to be JSON, not one label" * text.startswith(("{", "["))
        for text in written
    ]
    is_good = found["problem"].isin([None, "name", "id"])
    found.loc[is_good, ["problem", "detail"]] = None
    found.loc[~is_good, "value"] = np.nan
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
