"""Label files of RAF-DB: one line an image, of people and of machines."""

import contextlib
import os
from collections.abc import Iterator, Sequence, Sized
from typing import TextIO

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.faces.expressions import (
    AFFECT_DIMENSIONS,
    RAF_EXPRESSIONS,
    check_offset,
    to_class_ids,
    to_file_ids,
)
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import RowTooLong, open_rows
from keras_noisyfer.typing import ArrayLike, PathLike


def read_raf_expressions(path: PathLike, report: ImportReport) -> pd.DataFrame:
    """Reads lines such as `train_00001.jpg 5`, with RAF-DB's ids 1 to 7.

    Both `list_patition_label.txt` and `list_label_AffectnetModel.txt` are
    such files. `train_00001_aligned.jpg` names the same image.

    Args:
        path: The file.
        report: `ImportReport` that bad lines are rejected by.

    Returns:
        A `DataFrame` indexed by file name with the column `expression`:
        class ids in the order of `EXPRESSIONS`. `attrs["rejected"]` lists
        the names of which a line was rejected.

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

    Args:
        path: The file, such as `list_va_AffectnetModel.txt`.
        report: `ImportReport` that bad lines are rejected by.

    Returns:
        A `DataFrame` indexed by file name with the columns `valence` and
        `arousal`, and `attrs` as of `read_raf_expressions`.

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


def write_raf_expressions(
    path: PathLike, names: Sequence[str], expressions: ArrayLike
) -> None:
    """Writes the format of `list_label_AffectnetModel.txt`.

    Args:
        path: The file to write.
        names: File names, one an image.
        expressions: Class ids in the order of `EXPRESSIONS`, shape `(n,)`.

    Raises:
        ValueError: if a label is missing, or numbers differ.
    """
    file_ids = to_file_ids(expressions, RAF_EXPRESSIONS)
    _write_list(path, names, [f"{file_id}" for file_id in file_ids])


def write_raf_affect(
    path: PathLike, names: Sequence[str], affect: ArrayLike
) -> None:
    """Writes the format of `list_va_AffectnetModel.txt`.

    Args:
        path: The file to write.
        names: File names, one an image.
        affect: Valence and arousal in [-1, 1], shape `(n, 2)`.

    Raises:
        ValueError: if a value is missing or out of range, or numbers differ.
    """
    affect = check_affect(affect)
    if np.isnan(affect).any():
        raise ValueError("`affect` must not be missing. Received: NaN")
    _write_list(path, names, [f"{v!r} {a!r}" for v, a in affect.tolist()])


def check_affect(affect: ArrayLike) -> np.ndarray:
    """Valence and arousal as float64; a `ValueError` if they are none."""
    affect = np.asarray(affect, "float64")
    if affect.ndim != 2 or affect.shape[1] != 2 or (np.abs(affect) > 1).any():
        raise ValueError(
            "`affect` must be of shape (n, 2) and in [-1, 1]. Received: "
            f"shape={affect.shape}, largest={np.nanmax(np.abs(affect))}"
        )
    return affect


def check_count(names: Sized, array: Sized) -> None:
    """Raises a `ValueError` unless there is one label a name."""
    if len(names) != len(array):
        raise ValueError(
            "`names` and labels must be of one length. "
            f"Received: {len(names)} names, {len(array)} labels"
        )


@contextlib.contextmanager
def open_labels(path: PathLike, quotes: bool = False) -> Iterator[TextIO]:
    """A text file, with one line of an error if it is none.

    Args:
        path: The file.
        quotes: As of `open_rows`.
    """
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


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[TextIO]:
    """A file that takes its place only once it is whole."""
    partial = f"{os.fspath(path)}.partial"
    try:
        with open(partial, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(partial)


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


def _write_list(path, names, values):
    names = list(names)
    check_count(names, values)
    with replacing(path) as file:
        file.writelines(
            f"{name} {value}\n"
            for name, value in zip(names, values, strict=True)
        )
