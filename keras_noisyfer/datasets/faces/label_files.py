"""Labels of RAF-DB and AffectNet, of people and of machines."""

import contextlib
import csv
import itertools
import os
import pathlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

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
    check_offset,
    to_class_ids,
)
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import RowTooLong, open_rows, read_npy
from keras_noisyfer.typing import PathLike

NAME_COLUMN = "subDirectory_filePath"
BOX_COLUMNS = ("face_x", "face_y", "face_width", "face_height")
LANDMARKS = "facial_landmarks"
LABEL_COLUMNS = ("expression", *AFFECT_DIMENSIONS)
AFFECTNET_COLUMNS = (NAME_COLUMN, *BOX_COLUMNS, LANDMARKS, *LABEL_COLUMNS)
MISSING_AFFECT = -2.0
# What a value may be out of its range by, having been printed.
_ROUNDING = 1e-6
# 68 landmarks take a kilobyte, as text a little more.
MAX_ARRAY_BYTES = 2**16
# What `_check_rows` needs to know of a row, beside its labels: the image, how
# to call the row, what it says, and whether its cells are too many or too few.
_ROW_COLUMNS = ["name", "entry", "text", "uneven"]


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
    rows = _read_list(path, ["expression"])
    return _check_rows(rows, path, report, RAF_EXPRESSIONS)


def read_raf_affect(path: PathLike, report: ImportReport) -> pd.DataFrame:
    """Reads lines such as `train_00001.jpg -0.341 -0.129`.

    Values out of [-1, 1] are clipped, as the machine labels' authors do when
    they train; `report.notes` tells of how many rows of the file.

    Returns:
        The columns `valence` and `arousal`.

    Raises:
        ValueError: as `read_raf_expressions`.
    """
    table = _check_rows(_read_list(path, AFFECT_DIMENSIONS), path, report)
    clipped = int((table.abs() > 1).any(axis=1).sum())
    if clipped:
        note = f"rows whose affect was clipped, {os.path.basename(path)}"
        report.notes[note] = clipped
    return table.clip(-1, 1)


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
    places = [*BOX_COLUMNS, LANDMARKS] * faces
    wanted = [NAME_COLUMN, *LABEL_COLUMNS, *places]
    file_name = os.path.basename(path)

    def read():
        rows = affectnet_rows(path, wanted)
        for number, (name, *cells, uneven) in enumerate(rows, 1):
            text = ",".join([name, *cells[:3]])
            # pandas writes an empty cell for the -2 that it was told to read
            # as none.
            affect = [each.strip() or MISSING_AFFECT for each in cells[1:3]]
            entry = f"{file_name}, row {number}"
            row = [clean_name(name), entry, text, uneven, cells[0], *affect]
            if faces:
                # At once: of landmarks, a row has a kilobyte.
                row += [*cells[3:7], *eyes_of_landmarks(cells[7])]
            yield row

    columns = [*_ROW_COLUMNS, *LABEL_COLUMNS]
    if faces:
        columns += [*BOX_COLUMNS, *EYE_COLUMNS]
    rows = pd.DataFrame(read(), columns=columns)
    return _check_rows(rows, path, report, AFFECTNET_EXPRESSIONS, classes)


def affectnet_rows(
    path: PathLike, columns: Sequence[str]
) -> Iterator[list[str]]:
    """Yields these columns of an AffectNet table, as strings, and last what
    is uneven in the row: cells too many or too few.

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
                header = [*AFFECTNET_COLUMNS]
            elif missing:
                raise ValueError(
                    f"{path} must have the columns "
                    f"{', '.join(AFFECTNET_COLUMNS)}. "
                    f"Received: {', '.join(missing)} missing"
                )
            places = [header.index(each) for each in columns]
            for row in filter(None, rows):
                padded = row + [""] * (len(header) - len(row))
                uneven = "".join(row[len(header) :]) or "early" * (
                    padded != row
                )
                yield [*(padded[place] for place in places), uneven]
        except csv.Error as error:
            raise ValueError(
                f"{path} must be a table of comma-separated values. "
                f"Received: {one_line(error)}"
            ) from error


def clean_name(name: str) -> str:
    """A file name of an AffectNet table with `/` between its parts."""
    name = name.strip().replace("\\", "/")
    return posixpath.normpath(name) if name else ""


def eyes_of_landmarks(landmarks: str | np.ndarray) -> np.ndarray:
    """The middles of the eyes, in the order of `EYE_COLUMNS`, float64, from
    68 landmarks, numbers or a string of them with `;` between; NaN if they
    are not 68 points, as of images without a face."""
    try:
        return landmark_eyes([landmarks]).ravel()
    except ValueError:
        return np.full(4, np.nan)


def read_affectnet_annotations(
    folder: PathLike, report: ImportReport
) -> pd.DataFrame:
    """The labels of repackaged AffectNet, from files such as `0_exp.npy`.

    Args:
        folder: Folder of the files.
        report: `ImportReport` that malformed labels are rejected by.

    Returns:
        The columns of `read_affectnet_labels`, in the order of the numbers.

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
    split = os.path.basename(os.path.dirname(folder))
    rows = []
    for number in tqdm.tqdm(
        # Of whatever length.
        sorted(numbers, key=lambda each: (len(each), each)),
        desc="reading labels",
        unit=" images",
        delay=2,
        disable=None,
    ):
        try:
            paths = [f"{number}_{kind}.npy" for kind in ("exp", "val", "aro")]
            # Some copies hold the numbers as strings.
            labels = [
                float(
                    read_npy(os.path.join(folder, path), MAX_ARRAY_BYTES).item()
                )
                for path in paths
            ]
            text = ",".join(f"{each:g}" for each in labels)
        except (OSError, ValueError, TypeError, OverflowError) as error:
            labels, text = [np.nan] * 3, str(error)
        rows.append([f"{number}.jpg", f"{split}/{number}", text, "", *labels])
    table = pd.DataFrame(rows, columns=[*_ROW_COLUMNS, *LABEL_COLUMNS])
    return _check_rows(table, folder, report, AFFECTNET_EXPRESSIONS)


def _check_rows(
    rows: pd.DataFrame,
    path: PathLike,
    report: ImportReport,
    expressions: Mapping[int, str] | None = None,
    classes: int | None = None,
) -> pd.DataFrame:
    """Rejects bad rows, and makes class ids and numbers of the others.

    Args:
        rows: `_ROW_COLUMNS`, labels, and what else is known of an image.
        path: Where they come from.
        report: `ImportReport`.
        expressions: The ids of the file; None where it has none.
        classes: As of `check_offset`.
    """
    values = rows.drop(columns=_ROW_COLUMNS)
    values = values.apply(pd.to_numeric, errors="coerce").astype("float64")
    labels = values[[each for each in LABEL_COLUMNS if each in values]]
    problems = {
        "malformed label": ~np.isfinite(labels).all(axis=1)
        | (rows["name"] == "")
        | (rows["uneven"] != "")
    }
    if expressions is not None:
        seen = [each for each in labels["expression"] if each.is_integer()]
        if expressions is AFFECTNET_EXPRESSIONS:
            classes = classes or len(EXPRESSIONS_WITH_CONTEMPT)
        # Before the first bad row says that it may be skipped.
        check_offset(seen, expressions, path, classes)
        problems["unknown expression id"] = ~labels["expression"].isin(
            expressions
        )
        affect = labels.drop(columns="expression")
        affect = affect.mask(affect == MISSING_AFFECT)
        values[affect.columns] = affect.clip(-1, 1)
        problems["affect out of [-1, 1]"] = (affect.abs() > 1 + _ROUNDING).any(
            axis=1
        )
    bad = pd.DataFrame(problems)
    good = ~bad.any(axis=1)
    for index in rows.index[~good]:
        problem = bad.columns[bad.loc[index]][0]
        entry, text = rows.loc[index, ["entry", "text"]]
        report.reject(entry, problem, text[:160])
    if not good.any():
        raise ValueError(f"{path} must hold labels. It has no valid row")
    table = values[good].copy()
    if expressions is not None:
        table["expression"] = to_class_ids(
            table["expression"].astype(int),
            expressions,
            EXPRESSIONS_WITH_CONTEMPT,
        )
    for name in AFFECT_DIMENSIONS:
        if name in table:
            table[name] = table[name].astype("float32")
    table.index = pd.Index(rows["name"][good], name=None)
    repeated = table.index.duplicated()
    entries = rows["entry"][good][repeated]
    for name, entry in zip(table.index[repeated], entries, strict=True):
        report.reject(name, "duplicate name", f"once more in {entry}")
    table = table[~repeated]
    table.attrs["rejected"] = rows["name"][~good].tolist()
    return table


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


def _read_list(path, columns):
    """The rows of a list of names, each with some values behind it."""
    rows = []
    file_name = os.path.basename(path)
    with open_labels(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                name, *values = line.rsplit(maxsplit=len(columns))
                values += [""] * (len(columns) - len(values))
                entry = f"{file_name}, line {number}"
                # Some copies name the files of `Image/aligned`.
                stem, ending = os.path.splitext(name.strip())
                name = stem.removesuffix("_aligned") + ending
                rows.append([name, entry, line.strip(), "", *values])
    return pd.DataFrame(rows, columns=[*_ROW_COLUMNS, *columns])
