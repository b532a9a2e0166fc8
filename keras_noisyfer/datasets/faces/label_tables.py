"""Label tables of AffectNet, of people and of machines."""

import csv
import itertools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import tqdm

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.faces.alignment import EYE_COLUMNS, landmark_eyes
from keras_noisyfer.datasets.faces.expressions import (
    AFFECT_DIMENSIONS,
    AFFECTNET_EXPRESSIONS,
    EXPRESSIONS_WITH_CONTEMPT,
    affect_task,
    check_offset,
    to_class_ids,
    to_file_ids,
)
from keras_noisyfer.datasets.faces.label_files import (
    check_affect,
    check_count,
    open_labels,
    replacing,
)
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import read_npy
from keras_noisyfer.typing import ArrayLike, PathLike

NAME_COLUMN = "subDirectory_filePath"
BOX_COLUMNS = ("face_x", "face_y", "face_width", "face_height")
AFFECTNET_COLUMNS = (
    NAME_COLUMN,
    *BOX_COLUMNS,
    "facial_landmarks",
    "expression",
    *AFFECT_DIMENSIONS,
)
MISSING_AFFECT = -2.0
# A row with its landmarks takes about a kilobyte.
_ROWS_AT_ONCE = 50_000
# What a value may be out of its range by, having been printed.
_ROUNDING = 1e-6
# Whether a row ends behind the last column, or before it.
_SURPLUS = "surplus"
# 68 landmarks take a kilobyte, as text a little more.
_MAX_ARRAY_BYTES = 2**16


def read_affectnet_labels(
    path: PathLike,
    report: ImportReport,
    faces: bool = False,
    classes: int | None = None,
) -> pd.DataFrame:
    """Reads a table in the format of AffectNet's `training.csv`.

    It is read in parts, and may begin without a header, as some copies of
    `validation.csv` do.

    Args:
        path: The `.csv` file.
        report: `ImportReport` that bad rows are rejected by.
        faces: Whether to read where the face and its eyes are, too.
        classes: As of `check_offset`; by default the eight expressions.

    Returns:
        A `DataFrame` indexed by file name with `/` between its parts.
        Columns: `expression`, class ids in the order of
        `EXPRESSIONS_WITH_CONTEMPT`, -1 for none, uncertain and no face;
        `valence`, `arousal`, NaN where missing (-2, or an empty cell). With
        `faces` also `face_x`, `face_y`, `face_width`, `face_height`, and
        `left_x`, `left_y`, `right_x`, `right_y`, the middles of the eyes, in
        pixels, NaN where unknown. `attrs["rejected"]` lists the names of
        which a row was rejected.

    Raises:
        ValueError: if the file cannot be read, is empty or lacks a column,
            its ids count from another number, or, as the report says, at the
            first row that is malformed, has a value out of its range or
            repeats a name.
    """
    columns = [NAME_COLUMN, "expression", *AFFECT_DIMENSIONS]
    if faces:
        columns += [*BOX_COLUMNS, "facial_landmarks"]
    seen, problems, rejected = set(), [], []
    parts = [
        _parse_rows(rows, path, faces, seen, problems, rejected)
        for rows in _affectnet_rows(path, columns)
    ]
    # Before the first bad row says that it may be skipped.
    _check_affectnet_ids(seen, path, classes)
    for problem in problems:
        report.reject(*problem)
    table = pd.concat(parts) if parts else pd.DataFrame()
    if table.empty:
        raise ValueError(f"{path} must hold labels. It has no valid row")
    table = _without_repeats(table, path, report)
    table.attrs["rejected"] = rejected
    return table


def _check_affectnet_ids(seen, path, classes=None):
    classes = classes or len(EXPRESSIONS_WITH_CONTEMPT)
    check_offset(seen, AFFECTNET_EXPRESSIONS, path, classes)


def eyes_of_landmarks(landmarks: Any) -> np.ndarray:
    """The middles of the eyes, from 68 landmarks.

    Args:
        landmarks: 136 numbers, or a string of them with `;` between.

    Returns:
        float64 array of shape `(4,)` in the order of `EYE_COLUMNS`; NaN if
        they are not 68 points, as of images without a face.
    """
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
        A `DataFrame` indexed by the images' names: `expression`, `valence`,
        `arousal` and the eyes, as `read_affectnet_labels` has them, as well
        as `attrs`.

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


def write_affectnet_labels(
    path: PathLike,
    names: Sequence[str],
    expressions: ArrayLike | None = None,
    affect: ArrayLike | None = None,
    source: PathLike | None = None,
) -> None:
    """Writes the format of `training_RAFModel.csv`.

    Args:
        path: The `.csv` file to write.
        names: File names, one an image, as they stand in `source`.
        expressions: Class ids in the order of `EXPRESSIONS_WITH_CONTEMPT`,
            shape `(n,)`. By default those of `source` stay.
        affect: Valence and arousal in [-1, 1], NaN where missing, shape
            `(n, 2)`. By default those of `source` stay.
        source: The table that all other columns are taken from, such as
            `training.csv`; its rows of other images are left out. By default
            the other columns are empty.

    Raises:
        ValueError: if an expression is missing, a value is out of range,
            numbers differ, or `source` lacks a name.
    """
    names = list(names)
    changes = {}
    if expressions is not None:
        changes["expression"] = to_file_ids(
            expressions, AFFECTNET_EXPRESSIONS, EXPRESSIONS_WITH_CONTEMPT
        )
    if affect is not None:
        affect = np.where(np.isnan(affect), MISSING_AFFECT, affect)
        changes.update(zip(AFFECT_DIMENSIONS, affect.T, strict=True))
        check_affect(np.where(affect == MISSING_AFFECT, np.nan, affect))
    for array in changes.values():
        check_count(names, array)
    # Object columns print each number in full, and integers as such.
    changes = pd.DataFrame(
        {name: array.tolist() for name, array in changes.items()},
        index=pd.Index(names),
        dtype=object,
    )
    if not changes.index.is_unique or changes.columns.empty:
        raise ValueError(
            "`names` must not repeat, and `expressions` or `affect` must be "
            f"given. Received: {len(names)} names, {list(changes.columns)}"
        )
    if source is None:
        rows = changes.reindex(columns=AFFECTNET_COLUMNS)
        rows[NAME_COLUMN] = rows.index
        rows = rows.fillna(dict.fromkeys(AFFECT_DIMENSIONS, MISSING_AFFECT))
        chunks = [rows]
    else:
        chunks = _replaced(source, changes)
    with replacing(path) as file:
        csv.writer(file, lineterminator="\n").writerow(AFFECTNET_COLUMNS)
        for rows in chunks:
            rows.to_csv(
                file,
                columns=AFFECTNET_COLUMNS,
                header=False,
                index=False,
                lineterminator="\n",
            )


def _replaced(source, changes):
    left = set(changes.index)
    for rows in _affectnet_rows(source, AFFECTNET_COLUMNS):
        rows.index = _clean_names(rows[NAME_COLUMN])
        rows = rows[rows.index.isin(left) & ~rows.index.duplicated()]
        left -= set(rows.index)
        rows = rows.assign(**changes.loc[rows.index].to_dict("series"))
        yield rows
    if left:
        raise ValueError(
            f"`names` must stand in {source}. Received: {min(left)}"
            f" and {len(left) - 1} others that do not"
        )


def _affectnet_rows(path, columns):
    """Some columns of an AffectNet table, as strings, a part at a time.

    pandas' own reader drops what a row has too much, without a word.
    """
    with open_labels(path, quotes=True) as file:
        rows = csv.reader(file, strict=True)
        try:
            header = [field.strip() for field in next(rows, [])]
            missing = [each for each in columns if each not in header]
            headless = len(missing) == len(columns)
            if headless and len(header) == len(AFFECTNET_COLUMNS):
                rows = itertools.chain([header], rows)
                header = AFFECTNET_COLUMNS
            elif missing:
                raise ValueError(
                    f"{path} must have the columns "
                    f"{', '.join(AFFECTNET_COLUMNS)}. "
                    f"Received: {', '.join(missing)} missing"
                )
            positions = [header.index(each) for each in columns]

            def pick(row):
                padded = row + [""] * (len(header) - len(row))
                surplus = "".join(row[len(header) :]) or padded != row
                return [*(padded[each] for each in positions), surplus]

            filled = filter(None, rows)
            start = 0
            while part := list(itertools.islice(filled, _ROWS_AT_ONCE)):
                yield pd.DataFrame(
                    map(pick, part),
                    columns=[*columns, _SURPLUS],
                    index=range(start, start + len(part)),
                )
                start += len(part)
        except csv.Error as error:
            raise ValueError(
                f"{path} must be a table of comma-separated values. "
                f"Received: {one_line(error)}"
            ) from error


def _parse_rows(rows, path, faces, seen, found, rejected):
    rows = rows.assign(**{NAME_COLUMN: _clean_names(rows[NAME_COLUMN])})
    numbers = ["expression", *AFFECT_DIMENSIONS]
    values = rows[numbers].apply(pd.to_numeric, errors="coerce")
    values = values.astype("float64")
    seen.update(each for each in values.expression if each.is_integer())
    # pandas writes an empty cell for the -2 that it was told to read as none.
    is_empty = rows[[*AFFECT_DIMENSIONS]].apply(lambda x: x.str.strip() == "")
    affect = values[[*AFFECT_DIMENSIONS]].mask(is_empty, MISSING_AFFECT)
    values[[*AFFECT_DIMENSIONS]] = affect
    out_of_range = (affect.abs() > 1 + _ROUNDING) & (affect != MISSING_AFFECT)
    problems = {
        "malformed label": values.isna().any(axis=1)
        | (rows[NAME_COLUMN] == "")
        | rows[_SURPLUS].astype(bool),
        "unknown expression id": ~values.expression.isin(AFFECTNET_EXPRESSIONS),
        "affect out of [-1, 1]": out_of_range.any(axis=1),
    }
    bad = pd.DataFrame(problems)
    good = ~bad.any(axis=1)
    for index in rows.index[~good]:
        detail = ",".join(rows.loc[index, [NAME_COLUMN, *numbers]])
        entry = f"{os.path.basename(path)}, row {index + 1}"
        found.append((entry, bad.columns[bad.loc[index]][0], detail[:120]))
    rejected += rows.loc[~good, NAME_COLUMN].tolist()
    rows, values, affect = rows[good], values[good], affect[good]
    table = affect.mask(affect == MISSING_AFFECT).clip(-1, 1)
    table = table.astype("float32")
    table["expression"] = to_class_ids(
        values.expression.astype(int),
        AFFECTNET_EXPRESSIONS,
        EXPRESSIONS_WITH_CONTEMPT,
    )
    if faces:
        for column in BOX_COLUMNS:
            table[column] = pd.to_numeric(rows[column], errors="coerce")
        eyes = map(eyes_of_landmarks, rows.facial_landmarks)
        table[EYE_COLUMNS] = np.reshape(list(eyes), (-1, 4))
    return table.set_index(rows[NAME_COLUMN].rename(None))


def _clean_names(names):
    names = names.str.strip().str.replace("\\", "/", regex=False)
    return names.str.removeprefix("./")


def _without_repeats(table, path, report):
    repeated = table.index.duplicated()
    for name in table.index[repeated]:
        report.reject(
            name, "duplicate name", f"once more in {os.path.basename(path)}"
        )
    return table[~repeated]
