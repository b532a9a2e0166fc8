"""CSV files of any size, read piece by piece; no value changes its column."""

import os
import re
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import RowTooLong, open_rows
from keras_noisyfer.typing import PathLike

_SKIPPED = re.compile(r"Skipping line (\d+): expected (\d+) fields, saw (\d+)")
_ERRORS = (UnicodeError, pd.errors.ParserError, OSError, RowTooLong)


def read_header(path: PathLike) -> list[str]:
    """The names of the columns, the first row of a CSV file.

    Args:
        path: The file, in UTF-8 with commas.

    Returns:
        List of strings.

    Raises:
        ValueError: if there is no such file.
    """
    if not os.path.isfile(path):
        raise ValueError(
            f"`path` must be a CSV file. Received: {path}, where there is no "
            "file"
        )
    try:
        with open_rows(path) as file:
            return [name.strip() for name in _read_csv(file, nrows=1).iloc[0]]
    except pd.errors.EmptyDataError:
        raise ValueError(
            "`path` must be a CSV file whose first row names the columns. "
            f"Received: {path}, whose first row is empty"
        ) from None
    except _ERRORS as error:
        raise _unreadable(path, error) from error


def read_rows(
    path: PathLike, header: Sequence[str], chunk_size: int, report: ImportReport
) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Reads the rows below the header.

    Rows with more values than the header has names are rejected, rows
    without any value but blanks are passed over.

    Args:
        path: The file.
        header: What `read_header` returned.
        chunk_size: Number of rows to read at a time.
        report: `ImportReport`.

    Yields:
        `(frame, numbers)`: a `pandas.DataFrame` of strings, and the numbers
        of its rows, as in a spreadsheet: 1 is the header.

    Raises:
        ValueError: if the file cannot be read, and as the report says.
    """
    try:
        # With `usecols`, pandas would not notice a row with too many values,
        # whose labels have shifted.
        with (
            open_rows(path) as file,
            _read_csv(
                file,
                names=range(len(header)),
                chunksize=chunk_size,
                on_bad_lines="warn",
            ) as chunks,
        ):
            yield from _numbered(chunks, header, report)
    except _ERRORS as error:
        raise _unreadable(path, error) from error


def _numbered(chunks, header, report):
    begin = 1
    while True:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", pd.errors.ParserWarning)
            chunk = next(chunks, None)
        skipped = []
        for warning in caught:
            if issubclass(warning.category, pd.errors.ParserWarning):
                skipped += _reject_skipped(str(warning.message), report)
        if chunk is None:
            return
        empty = _empty_rows(chunk)
        chunk.columns = header
        numbers = begin + np.arange(len(chunk) + len(skipped))
        begin += len(numbers)
        numbers = np.setdiff1d(numbers, skipped)
        filled = ~empty & (numbers > 1)
        yield chunk[filled], numbers[filled]


def _empty_rows(chunk):
    """Where a row has blanks at most, boolean."""
    rows = np.arange(len(chunk))
    for _, cells in chunk.items():
        # Only rows that are empty so far: few, after the first column.
        texts = cells.to_numpy()[rows]
        rows = rows[[not text.strip() for text in texts]]
    return np.isin(np.arange(len(chunk)), rows)


def _reject_skipped(message, report):
    """Rejects the rows that pandas has left out; returns their numbers."""
    lines = _SKIPPED.findall(message)
    if not lines:
        # Of some other kind, it must not pass for a row that was reported.
        raise ValueError(f"pandas: {one_line(message)}")
    for row, names, values in lines:
        report.reject(
            f"row {row}",
            "too many values",
            f"{values} values, {names} names of columns",
        )
    return [int(row) for row, _, _ in lines]


def _read_csv(file, **options):
    # As text, with nothing guessed.
    return pd.read_csv(
        file,
        header=None,
        dtype=object,
        na_filter=False,
        index_col=False,
        skip_blank_lines=False,
        **options,
    )


def _unreadable(path, error):
    return ValueError(
        "`path` must be a CSV file in UTF-8 whose quotes are closed. "
        f"Received: {path}: {one_line(error)}"
    )
