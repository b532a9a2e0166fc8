"""Labels of RAF-DB and AffectNet, of people and of machines."""

import contextlib
import csv
import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import numpy as np
import pandas as pd
import tqdm

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.faces.alignment import EYE_COLUMNS, landmark_eyes
from keras_noisyfer.datasets.faces.expressions import (
    AFFECT_DIMENSIONS,
    AFFECTNET_EXPRESSIONS,
    EXPRESSIONS_WITH_CONTEMPT,
    RAF_EXPRESSIONS,
    affect_task,
    check_offset,
    to_class_ids,
)
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import RowTooLong, open_rows, read_npy
from keras_noisyfer.typing import PathLike

NAME_COLUMN = "subDirectory_filePath"
BOX_COLUMNS = ("face_x", "face_y", "face_width", "face_height")
LANDMARKS = "facial_landmarks"
AFFECTNET_COLUMNS = (
    NAME_COLUMN,
    *BOX_COLUMNS,
    LANDMARKS,
    "expression",
    *AFFECT_DIMENSIONS,
)
MISSING_AFFECT = -2.0
# What a value may be out of its range by, having been printed.
_ROUNDING = 1e-6
# Whether a row ends behind the last column, or before it.
_SURPLUS = "surplus"
# 68 landmarks take a kilobyte, as text a little more.
_MAX_ARRAY_BYTES = 2**16


# All return a `DataFrame` indexed by file name, whose `attrs["rejected"]`
# lists the names of which a row was rejected.


def read_raf_expressions(path: PathLike, report: ImportReport) -> pd.DataFrame:
    """Reads lines such as `train_00001.jpg 5`, with RAF-DB's ids 1 to 7.

    Both `list_patition_label.txt` and `list_label_AffectnetModel.txt` are
    such files. `train_00001_aligned.jpg` names the same image.

    Returns:
        The column `expression`, class ids in the order of `EXPRESSIONS`.

    Raises:
        ValueError: if the file cannot be read or is empty, its ids count
            from another number, or, as the report says, at the first line
            that is malformed, has another id or repeats a name.
    """
    names, values, rejected = _read_list(path, report, 1, _whole)
    file_ids = pd.Series(np.ravel(values), index=names)
    check_offset(file_ids.unique(), RAF_EXPRESSIONS, path)
    known = file_ids.isin(RAF_EXPRESSIONS)
    for name, file_id in file_ids[~known].items():
        report.reject(name, "unknown expression id", f"{file_id} in {path}")
    rejected += file_ids.index[~known].tolist()
    file_ids = file_ids[known]
    class_ids = to_class_ids(file_ids, RAF_EXPRESSIONS)
    table = pd.DataFrame({"expression": class_ids}, index=file_ids.index)
    table.attrs["rejected"] = rejected
    return table


def read_raf_affect(path: PathLike, report: ImportReport) -> pd.DataFrame:
    """Reads lines such as `train_00001.jpg -0.341 -0.129`.

    Values out of [-1, 1] are clipped, as the machine labels' authors do when
    they train; `report.notes` tells of how many rows of the file.

    Returns:
        The columns `valence` and `arousal`.

    Raises:
        ValueError: as `read_raf_expressions`.
    """
    names, values, rejected = _read_list(path, report, 2, _finite)
    values = np.array(values, "float64").reshape(-1, 2)
    clipped = int((np.abs(values) > 1).any(axis=1).sum())
    if clipped:
        note = f"rows whose affect was clipped, {os.path.basename(path)}"
        report.notes[note] = clipped
    table = pd.DataFrame(
        np.clip(values, -1, 1).astype("float32"),
        index=names,
        columns=AFFECT_DIMENSIONS,
    )
    table.attrs["rejected"] = rejected
    return table


def read_affectnet_labels(
    path: PathLike,
    report: ImportReport,
    faces: bool = False,
    classes: int | None = None,
) -> pd.DataFrame:
    """Reads a table in the format of AffectNet's `training.csv`.

    It may begin without a header, as some copies of `validation.csv` do.

    Args:
        path: The `.csv` file.
        report: `ImportReport` that bad rows are rejected by.
        faces: Whether to read where the face and its eyes are, too.
        classes: As of `check_offset`; by default the eight expressions.

    Returns:
        The columns `expression`, class ids in the order of
        `EXPRESSIONS_WITH_CONTEMPT`, -1 for none, uncertain and no face;
        `valence`, `arousal`, NaN where missing (-2, or an empty cell). With
        `faces` also `BOX_COLUMNS`, and `EYE_COLUMNS`, the middles of the
        eyes, in pixels, NaN where unknown. Names have `/` between their parts.

    Raises:
        ValueError: if the file cannot be read, is empty or lacks a column,
            its ids count from another number, or, as the report says, at the
            first row that is malformed, has a value out of its range or
            repeats a name.
    """
    numbers = ["expression", *AFFECT_DIMENSIONS]
    columns = [NAME_COLUMN, *numbers]
    if faces:
        columns += [*BOX_COLUMNS, LANDMARKS]
    rows = pd.DataFrame(
        affectnet_rows(path, columns, eyes=faces), columns=[*columns, _SURPLUS]
    )
    names = rows[NAME_COLUMN].map(clean_name)
    values = rows[numbers].apply(pd.to_numeric, errors="coerce")
    values = values.astype("float64")
    seen = [each for each in values.expression if each.is_integer()]
    # Before the first bad row says that it may be skipped.
    _check_affectnet_ids(seen, path, classes)
    # pandas writes an empty cell for the -2 that it was told to read as none.
    is_empty = rows[[*AFFECT_DIMENSIONS]].map(str.strip) == ""
    affect = values[[*AFFECT_DIMENSIONS]].mask(is_empty, MISSING_AFFECT)
    values[[*AFFECT_DIMENSIONS]] = affect
    out_of_range = (affect.abs() > 1 + _ROUNDING) & (affect != MISSING_AFFECT)
    problems = {
        "malformed label": values.isna().any(axis=1)
        | (names == "")
        | rows[_SURPLUS].astype(bool),
        "unknown expression id": ~values.expression.isin(AFFECTNET_EXPRESSIONS),
        "affect out of [-1, 1]": out_of_range.any(axis=1),
    }
    bad = pd.DataFrame(problems)
    good = ~bad.any(axis=1)
    file_name = os.path.basename(path)
    for index in rows.index[~good]:
        detail = ",".join([names[index], *rows.loc[index, numbers]])
        problem = bad.columns[bad.loc[index]][0]
        report.reject(f"{file_name}, row {index + 1}", problem, detail[:120])
    if not good.any():
        raise ValueError(f"{path} must hold labels. It has no valid row")
    table = affect[good].mask(affect == MISSING_AFFECT).clip(-1, 1)
    table = table.astype("float32")
    table["expression"] = to_class_ids(
        values.expression[good].astype(int),
        AFFECTNET_EXPRESSIONS,
        EXPRESSIONS_WITH_CONTEMPT,
    )
    if faces:
        for column in BOX_COLUMNS:
            table[column] = pd.to_numeric(rows[column][good], errors="coerce")
        table[EYE_COLUMNS] = np.stack(rows[LANDMARKS][good])
    table.index = pd.Index(names[good], name=None)
    repeated = table.index.duplicated()
    for name in table.index[repeated]:
        report.reject(name, "duplicate name", f"once more in {file_name}")
    table = table[~repeated]
    table.attrs["rejected"] = names[~good].tolist()
    return table


def affectnet_rows(
    path: PathLike, columns: Sequence[str], eyes: bool = False
) -> Iterator[list[Any]]:
    """Yields some columns of an AffectNet table, as strings, and last whether
    a row has cells too many or too few.

    pandas' own reader drops what a row has too much, without a word.

    Args:
        path: The `.csv` file.
        columns: Names of the columns.
        eyes: Whether to make `eyes_of_landmarks` of the landmarks, of which
            a row has a kilobyte.
    """
    with open_labels(path, quotes=True) as file:
        rows = csv.reader(file, strict=True)
        try:
            header = [field.strip() for field in next(rows, [])]
            missing = [each for each in columns if each not in header]
            headless = len(missing) == len(columns)
            if headless and len(header) == len(AFFECTNET_COLUMNS):
                rows = itertools.chain([header], rows)
                header = [*AFFECTNET_COLUMNS]
            elif missing:
                raise ValueError(
                    f"{path} must have the columns "
                    f"{', '.join(AFFECTNET_COLUMNS)}. "
                    f"Received: {', '.join(missing)} missing"
                )
            for row in filter(None, rows):
                padded = row + [""] * (len(header) - len(row))
                cells: list[Any] = [padded[header.index(e)] for e in columns]
                if eyes:
                    place = columns.index(LANDMARKS)
                    cells[place] = eyes_of_landmarks(cells[place])
                surplus = "".join(row[len(header) :]) or padded != row
                yield [*cells, surplus]
        except csv.Error as error:
            raise ValueError(
                f"{path} must be a table of comma-separated values. "
                f"Received: {one_line(error)}"
            ) from error


def clean_name(name: str) -> str:
    """A file name of an AffectNet table with `/` between its parts."""
    return name.strip().replace("\\", "/").removeprefix("./")


def _check_affectnet_ids(seen, path, classes=None):
    classes = classes or len(EXPRESSIONS_WITH_CONTEMPT)
    check_offset(seen, AFFECTNET_EXPRESSIONS, path, classes)


def eyes_of_landmarks(landmarks: Any) -> np.ndarray:
    """The middles of the eyes, in the order of `EYE_COLUMNS`, float64, from
    68 landmarks, numbers or a string of them with `;` between; NaN if they
    are not 68 points, as of images without a face."""
    try:
        return landmark_eyes([landmarks]).ravel()
    except ValueError:
        return np.full(4, np.nan)


def read_affectnet_annotations(
    folder: PathLike, report: ImportReport, eyes: bool = True
) -> pd.DataFrame:
    """The labels of repackaged AffectNet, from files such as `0_exp.npy`.

    Args:
        folder: Folder of the files.
        report: `ImportReport` that malformed labels are rejected by.
        eyes: Whether to read where the eyes are, too, from `0_lnd.npy`.

    Returns:
        The columns of `read_affectnet_labels`, without the boxes.

    Raises:
        ValueError: if there is no label, the ids count from another number,
            or as the report says.
    """
    ending = "_exp.npy"
    numbers = [
        path.name.removesuffix(ending)
        for path in pathlib.Path(folder).iterdir()
        if path.name.endswith(ending)
    ]
    rows = {}
    seen, problems, rejected = set(), [], []
    for number in tqdm.tqdm(
        # In the order of the numbers, of whatever length.
        sorted(numbers, key=lambda each: (len(each), each)),
        desc="reading labels",
        unit=" images",
        delay=2,
        disable=None,
    ):
        try:
            row = _read_annotation(folder, number, eyes, seen)
            rows[f"{number}.jpg"] = row
        except (OSError, ValueError, TypeError, OverflowError) as error:
            entry = f"{os.path.basename(os.path.dirname(folder))}/{number}"
            problems.append((entry, "malformed label", str(error)))
            rejected.append(f"{number}.jpg")
    _check_affectnet_ids(seen, folder)
    for problem in problems:
        report.reject(*problem)
    if not rows:
        raise ValueError(f"{folder} must hold labels. It has no valid file")
    columns = ["expression", *AFFECT_DIMENSIONS, *EYE_COLUMNS * eyes]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    table.attrs["rejected"] = rejected
    return table


def _read_annotation(folder, number, eyes, seen):
    def read(kind):
        path = os.path.join(folder, f"{number}_{kind}.npy")
        return read_npy(path, _MAX_ARRAY_BYTES)

    # Some copies hold the numbers as strings.
    expression = float(read("exp").item())
    seen.update([expression] if expression.is_integer() else [])
    class_id = to_class_ids(
        expression, AFFECTNET_EXPRESSIONS, EXPRESSIONS_WITH_CONTEMPT
    )
    affect = np.array([float(read(kind).item()) for kind in ("val", "aro")])
    given = affect[affect != MISSING_AFFECT]
    affect_task().check_values(given, allow_missing=False)
    affect[affect == MISSING_AFFECT] = np.nan
    eyes = eyes_of_landmarks(read("lnd")) if eyes else ()
    return (int(class_id), *affect, *eyes)


@contextlib.contextmanager
def open_labels(path: PathLike, quotes: bool = False) -> Iterator[TextIO]:
    """A text file, with one line of an error if it is none; see `open_rows`."""
    try:
        with open_rows(path, None, quotes) as file:
            yield file
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be a text file in UTF-8. Received: {error}"
        ) from error
    except RowTooLong as error:
        raise ValueError(
            f"{path} must be a text file of lines. Received: {one_line(error)}"
        ) from error


def _read_list(path, report, count, parse):
    """Names, the values of each, and the names of malformed lines."""
    rows = {}
    rejected = []
    file_name = os.path.basename(path)
    with open_labels(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            name, *values = line.rsplit(maxsplit=count)
            entry = f"{file_name}, line {number}"
            try:
                if len(values) != count:
                    raise ValueError
                values = [parse(value) for value in values]
            except ValueError:
                report.reject(entry, "malformed label", line.strip()[:80])
                rejected.append(_bare_name(name))
                continue
            name = _bare_name(name)
            if name in rows:
                report.reject(
                    name, "duplicate name", f"once more in line {number}"
                )
                continue
            rows[name] = values
    if not rows:
        raise ValueError(f"{path} must hold labels. It has no valid line")
    return list(rows), list(rows.values()), rejected


def _bare_name(name):
    # Some copies name the files of `Image/aligned`.
    stem, ending = os.path.splitext(name.strip())
    return stem.removesuffix("_aligned") + ending


def _whole(text):
    value = _finite(text)
    if not value.is_integer():
        raise ValueError
    return int(value)


def _finite(text):
    value = float(text)
    if not np.isfinite(value):
        raise ValueError
    return value
