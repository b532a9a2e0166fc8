"""Labels and eye positions of RAF-DB and AffectNet, of people and of machines.

All readers of labels return a `DataFrame` indexed by file name, whose
`attrs["rejected"]` lists the names of which a row was rejected; they raise a
`ValueError` if a file cannot be read, holds no label or has ids that count from
another number, and report each row that is malformed, has an unknown id or a
value out of its range, or repeats a name.
"""

import contextlib
import csv
import os
import pathlib
import posixpath
import re
from collections.abc import Iterator
from typing import Any, TextIO

import numpy as np
import pandas as pd
import tqdm

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.faces.alignment import EYE_COLUMNS
from keras_noisyfer.datasets.faces.expressions import (
    AFFECT_DIMENSIONS,
    AFFECTNET_EXPRESSIONS,
    EXPRESSIONS_WITH_CONTEMPT,
    RAF_EXPRESSIONS,
    check_offset,
)
from keras_noisyfer.datasets.image_files import UnusableImage, locate_image
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import RowTooLong, open_rows, read_npy
from keras_noisyfer.typing import PathLike

NAME_COLUMN = "subDirectory_filePath"
BOX_COLUMNS = ("face_x", "face_y", "face_width", "face_height")
LANDMARKS = "facial_landmarks"
# Of the 68 points, those around the eyes, the viewer's left first.
EYE_POINTS = (slice(36, 42), slice(42, 48))
LABEL_COLUMNS = ("expression", *AFFECT_DIMENSIONS)
AFFECTNET_COLUMNS = (NAME_COLUMN, *BOX_COLUMNS, LANDMARKS, *LABEL_COLUMNS)
MISSING_AFFECT = -2.0
# What a value may be out of its range by, having been printed.
_ROUNDING = 1e-6
# 68 landmarks take a kilobyte, as text a little more.
MAX_ARRAY_BYTES = 2**16


def read_raf_expressions(path: PathLike, report: ImportReport) -> pd.DataFrame:
    """Reads lines such as `train_00001.jpg 5`, with RAF-DB's ids 1 to 7, of
    people or a machine, as `expression`, class ids in the order of
    `EXPRESSIONS`. `train_00001_aligned.jpg` names the same image."""
    rows = _read_list(path, ["expression"])
    return _check_rows(rows, path, report, RAF_EXPRESSIONS)


def read_raf_affect(path: PathLike, report: ImportReport) -> pd.DataFrame:
    """Reads lines such as `train_00001.jpg -0.341 -0.129`: the columns
    `valence` and `arousal`. Values out of [-1, 1] are clipped, as the machine
    labels' authors do, and `report.notes` tells of how many rows."""
    table = _check_rows(_read_list(path, AFFECT_DIMENSIONS), path, report)
    clipped = int((table.abs() > 1).any(axis=1).sum())
    if clipped:
        note = f"rows whose affect was clipped, {os.path.basename(path)}"
        report.notes[note] = clipped
    return table.clip(-1, 1)


def _read_list(path, columns):
    """The rows of a list of names, each with some values behind it."""
    with open_labels(path) as file:
        lines = {i: each.strip() for i, each in enumerate(file, 1)}
    lines = {number: line for number, line in lines.items() if line}
    rows = [line.rsplit(maxsplit=len(columns)) for line in lines.values()]
    # Some copies name the files of `Image/aligned`.
    stems = [os.path.splitext(row[0].strip()) for row in rows]
    names = [stem.removesuffix("_aligned") + end for stem, end in stems]
    entries = [f"{os.path.basename(path)}, line {number}" for number in lines]
    cells = [(row[1:] + [""] * len(columns))[: len(columns)] for row in rows]
    return _rows(names, entries, lines.values(), cells, columns)


def read_affectnet_labels(
    path: PathLike,
    report: ImportReport,
    faces: bool = False,
    classes: int | None = None,
) -> pd.DataFrame:
    """Reads a table in the format of AffectNet's `training.csv`, which may lack
    its header, as in some copies of `validation.csv`.

    Args:
        path: The file.
        report: `ImportReport`.
        faces: Whether to read where the faces and their eyes are.
        classes: See `check_offset`; by default all expressions.

    Returns:
        The columns `expression`, class ids in the order of
        `EXPRESSIONS_WITH_CONTEMPT`, -1 for none, uncertain and no face;
        `valence`, `arousal`, NaN where missing (-2, or an empty cell). With
        `faces` also `BOX_COLUMNS`, and `EYE_COLUMNS`, the middles of the
        eyes, in pixels, NaN where unknown. Names have `/` between their parts.
    """
    try:
        with open_labels(path, quotes=True) as file:
            rows = [*filter(None, csv.reader(file, strict=True))]
    except csv.Error as error:
        raise ValueError(
            f"{path} must be a table of comma-separated values. "
            f"Received: {one_line(error)}"
        ) from error
    numbers = [*LABEL_COLUMNS, *BOX_COLUMNS * faces]
    columns = [NAME_COLUMN, *numbers, *[LANDMARKS] * faces]
    header = [each.strip() for each in rows[0]] if rows else []
    missing = [each for each in columns if each not in header]
    if missing == columns and len(header) == len(AFFECTNET_COLUMNS):
        header = [*AFFECTNET_COLUMNS]
    elif missing:
        raise ValueError(
            f"{path} must have the columns {', '.join(AFFECTNET_COLUMNS)}. "
            f"Received: {', '.join(missing)} missing"
        )
    else:
        del rows[0]
    width = len(header)
    places = [header.index(each) for each in columns]
    cells = [[row[i] if i < len(row) else "" for i in places] for row in rows]
    table = pd.DataFrame(cells, columns=columns, dtype=object)
    names = table[NAME_COLUMN].str.strip().str.replace("\\", "/")
    names = names.map(lambda name: name and posixpath.normpath(name))
    cells = table[numbers].map(str.strip)
    labels = cells[[*LABEL_COLUMNS]].to_numpy().T
    texts = map(",".join, zip(table[NAME_COLUMN], *labels, strict=True))
    # pandas writes an empty cell for the -2 that it was told to read as none,
    # and says nothing of rows with too many cells or too few.
    affect = cells[[*AFFECT_DIMENSIONS]].replace("", str(MISSING_AFFECT))
    cells[[*AFFECT_DIMENSIONS]] = affect
    uneven = [len(row) < width or any(row[width:]) for row in rows]
    cells.loc[uneven, "expression"] = ""
    entry = f"{os.path.basename(path)}, row "
    entries = [f"{entry}{number}" for number in range(1, len(table) + 1)]
    rows = _rows(names, entries, texts, cells.to_numpy(), numbers)
    if faces:
        eyes = [landmark_eyes(each).ravel() for each in table[LANDMARKS]]
        rows[EYE_COLUMNS] = np.reshape(eyes, (-1, len(EYE_COLUMNS)))
    classes = classes or len(EXPRESSIONS_WITH_CONTEMPT)
    return _check_rows(rows, path, report, AFFECTNET_EXPRESSIONS, classes)


def landmark_eyes(landmarks: Any) -> np.ndarray:
    """Eye positions from a face's 68 landmarks, the means of six points an eye,
    float64 of shape `(2, 2)`: NaN if they are not 68 points, as of images
    without a face.

    They are an array of x and y in pixels, or a string of them,
    `"x;y;x;y;..."`; brackets around the numbers, and commas or spaces between
    them, will do.
    """
    try:
        if isinstance(landmarks, str):
            # As pandas and NumPy write lists and arrays, too.
            landmarks = re.sub(r"[\[\]()]", " ", landmarks).strip()
            landmarks = re.split(r"[;,\s]+", landmarks)
        points = np.asarray(landmarks, "float64").reshape(68, 2)
    except ValueError:
        points = np.full((68, 2), np.nan)
    return np.stack([points[each].mean(axis=0) for each in EYE_POINTS])


def raf_eyes(annotation_dir: PathLike, name: str) -> np.ndarray:
    """Eye positions that RAF-DB's annotators marked in the image
    `train_00001.jpg`, in pixels of that in `Image/original`: float64 of shape
    `(2, 2)`, NaN where the folder `Annotation/manual` has no
    `train_00001_manu_attri.txt`. A `ValueError` if that does not begin with two
    lines of x and y."""
    file_name = f"{os.path.splitext(name)[0]}_manu_attri.txt"
    try:
        path = locate_image(annotation_dir, file_name)
    except UnusableImage as error:
        if error.problem == "missing image":
            return np.full((2, 2), np.nan)
        raise ValueError(
            f"{file_name}: {error.problem} ({error.detail})"
        ) from None
    try:
        with open_rows(path, None, quotes=False) as file:
            lines = [file.readline() for _ in range(2)]
        points = [list(map(float, line.split())) for line in lines]
        return np.reshape(points, (2, 2))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} must begin with two lines of x and y. "
            f"Received: {one_line(error)}"
        ) from None


def read_affectnet_annotations(
    folder: PathLike, report: ImportReport
) -> pd.DataFrame:
    """The labels of repackaged AffectNet, from files such as `0_exp.npy`, as
    of `read_affectnet_labels`, in the order of the numbers."""
    paths = pathlib.Path(folder).glob("*_exp.npy")
    numbers = [path.name.removesuffix("_exp.npy") for path in paths]
    # Of whatever length.
    numbers.sort(key=lambda each: (len(each), each))
    texts, labels = [], []
    options = {"unit": " images", "delay": 2, "disable": None}
    for number in tqdm.tqdm(numbers, "reading labels", **options):
        try:
            files = [f"{number}_{kind}.npy" for kind in ("exp", "val", "aro")]
            arrays = [
                read_npy(os.path.join(folder, file), MAX_ARRAY_BYTES)
                for file in files
            ]
            # Some copies hold the numbers as strings.
            labels.append([float(array.item()) for array in arrays])
            texts.append(",".join(f"{each:g}" for each in labels[-1]))
        except (OSError, ValueError, TypeError, OverflowError) as error:
            labels.append([np.nan] * 3)
            texts.append(str(error))
    split = os.path.basename(os.path.dirname(folder))
    names = [f"{number}.jpg" for number in numbers]
    entries = [f"{split}/{number}" for number in numbers]
    rows = _rows(names, entries, texts, labels, LABEL_COLUMNS)
    classes = len(EXPRESSIONS_WITH_CONTEMPT)
    return _check_rows(rows, folder, report, AFFECTNET_EXPRESSIONS, classes)


def _rows(names, entries, texts, labels, columns):
    """Labels of images, numbers or texts, as numbers; what is none is NaN.
    And for messages, how to call each row and what it says."""
    table = pd.DataFrame(labels, columns=[*columns], dtype=object)
    table = table.apply(pd.to_numeric, errors="coerce").astype("float64")
    about = {"name": names, "entry": entries, "text": texts}
    return table.assign(**{key: [*each] for key, each in about.items()})


def _check_rows(rows, path, report, expressions=None, classes=None):
    """Rejects bad rows of `_rows`, and makes class ids of the file's ids,
    `expressions`, where it has such; see `check_offset`."""
    labels = rows[[each for each in LABEL_COLUMNS if each in rows]].copy()
    bad = pd.DataFrame(
        {
            "malformed label": ~np.isfinite(labels).all(axis=1)
            | (rows["name"] == "")
        }
    )
    if expressions is not None:
        # Before the first bad row says that it may be skipped.
        check_offset(labels["expression"], expressions, path, classes)
        bad["unknown expression id"] = ~labels["expression"].isin(expressions)
        affect = labels.drop(columns="expression")
        affect = affect.mask(affect == MISSING_AFFECT)
        limit = 1 + _ROUNDING
        bad["affect out of [-1, 1]"] = (affect.abs() > limit).any(axis=1)
        rows[affect.columns] = affect.clip(-1, 1)
    is_bad = bad.any(axis=1)
    for index in rows.index[is_bad]:
        entry, text = rows.loc[index, ["entry", "text"]]
        report.reject(entry, bad.loc[index].idxmax(), text[:160])
    good = rows[~is_bad]
    if good.empty:
        raise ValueError(f"{path} must hold labels. It has no valid row")
    repeated = good["name"].duplicated()
    again = good.loc[repeated, ["name", "entry"]].itertuples(index=False)
    for name, entry in again:
        report.reject(name, "duplicate name", f"once more in {entry}")
    table = good[~repeated].set_index("name").drop(columns=["entry", "text"])
    if expressions is not None:
        table["expression"] = table["expression"].map(
            {
                file_id: EXPRESSIONS_WITH_CONTEMPT.index(name)
                if name in EXPRESSIONS_WITH_CONTEMPT
                else -1
                for file_id, name in expressions.items()
            }
        )
    affect = [each for each in AFFECT_DIMENSIONS if each in table]
    table = table.astype(dict.fromkeys(affect, "float32"))
    table.attrs["rejected"] = rows["name"][is_bad].tolist()
    return table


@contextlib.contextmanager
def open_labels(path: PathLike, quotes: bool = False) -> Iterator[TextIO]:
    """A text file, with one line of an error if it is none; see `open_rows`."""
    try:
        with open_rows(path, None, quotes) as file:
            yield file
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, RowTooLong) as error:
        raise ValueError(
            f"{path} must be a text file of lines in UTF-8. "
            f"Received: {one_line(error)}"
        ) from error
