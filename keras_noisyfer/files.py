"""Files that others made: read within limits, never run."""

import contextlib
import io
import json
import math
import os
import pathlib
import sys
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_noisyfer.arguments import one_line
from keras_noisyfer.typing import PathLike

# Longest row of a text file, in characters: a row of FER2013 has 9,000.
MAX_ROW = 2**20
MAX_JSON_BYTES = 2**26
# What a file may unpack to, as a multiple of its size. Weights hardly shrink
# when they are compressed.
MAX_EXPANSION = 10
# Too little to do harm, however well it is compressed.
_HARMLESS_BYTES = 2**26
# Of the headers of arrays: (major, minor).
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(
    path: PathLike,
    max_bytes: int,
    names: Iterable[str] | None = None,
    required: Iterable[str] = (),
) -> dict[str, np.ndarray]:
    """Reads an `.npz` file of plain arrays.

    What the file says of sizes is looked at before anything is unpacked.

    Args:
        path: The file.
        max_bytes: Largest size of all arrays that are read, unpacked.
        names: Names of the arrays that are read; by default all.
        required: Names of arrays that must be there.

    Returns:
        Dict of arrays.

    Raises:
        ValueError: if it is no such file, is damaged, holds something else
            than numbers and texts, lacks an array, or is too large.
        OSError: if it cannot be opened.

    Example:

    >>> arrays = read_npz("predictions.npz", max_bytes=2**30)
    """
    with open(path, "rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                members = {
                    each.filename.removesuffix(".npy"): each
                    for each in archive.infolist()
                }
                missing = [each for each in required if each not in members]
                if missing:
                    raise ValueError(f"none called {', '.join(missing)}")
                if names is not None:
                    members = {name: members[name] for name in names}
                _check_size(
                    sum(each.file_size for each in members.values()), max_bytes
                )
                return {
                    name: _read_member(archive, each)
                    for name, each in members.items()
                }
        # A damaged archive can lead to any error at all.
        except Exception as error:
            raise ValueError(
                f"{path} must be an .npz file of plain arrays. "
                f"Received: {_reason(error)}"
            ) from error


def read_npy(path: PathLike, max_bytes: int) -> np.ndarray:
    """Reads an `.npy` file of numbers or texts; see `read_npz`."""
    with open(path, "rb") as stream:
        try:
            _check_header(stream, max_bytes)
            stream.seek(0)
            return _read_array(stream)
        except Exception as error:
            raise ValueError(
                f"{path} must be an .npy file of a plain array. "
                f"Received: {_reason(error)}"
            ) from error


def _read_member(archive, member):
    with archive.open(member) as stream:
        _check_header(stream, member.file_size)
    with archive.open(member) as stream:
        return _read_array(stream)


def _read_array(stream):
    array = np.lib.format.read_array(stream, allow_pickle=False)
    if array.dtype.kind == "U":
        # NumPy makes strings of them later on, and fails.
        codes = np.frombuffer(array.tobytes(), f"{array.dtype.str[0]}u4")
        if codes.max(initial=0) > sys.maxunicode:
            raise ValueError("a text of no characters")
    return array


def _check_header(stream, max_bytes):
    """Checks what an array's header says, which is believed later on."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADER_READERS:
        raise ValueError(f"an array of the format {version}")
    shape, _, dtype = _HEADER_READERS[version](stream)
    if dtype.kind not in "biufSU" or not dtype.itemsize:
        raise ValueError(f"an array of {dtype}")
    if min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {shape}")
    _check_size(math.prod(shape) * dtype.itemsize, max_bytes)


def _check_size(size, max_bytes):
    if size > max_bytes:
        raise ValueError(
            f"{size:,} bytes unpacked, of which {max_bytes:,} are allowed"
        )


def check_archive(path: PathLike) -> None:
    """Checks the list of contents of a zip archive, such as a `.keras` file.

    Args:
        path: The file.

    Raises:
        ValueError: if it is none, would unpack to more than ten times its
            size, or holds names that lead out of a folder.
        OSError: if it cannot be opened.
    """
    with open(path, "rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                members = archive.infolist()
        except Exception as error:
            raise ValueError(
                f"{path} must be a zip archive. Received: {_reason(error)}"
            ) from error
    for each in members:
        name = each.filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or ":" in name:
            raise ValueError(
                f"{path} must hold names within a folder. "
                f"Received: {one_line(each.filename)!r}"
            )
    size = sum(each.file_size for each in members)
    limit = max(_HARMLESS_BYTES, MAX_EXPANSION * os.path.getsize(path))
    if size > limit:
        raise ValueError(
            f"{path} must not unpack to more than {limit:,} bytes. "
            f"Received: {size:,}"
        )


def read_json(path: PathLike) -> Any:
    """Reads a JSON file.

    Raises:
        ValueError: if it is none, or has more than 64 MiB.
        OSError: if it cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
        _check_size(len(content), MAX_JSON_BYTES)
        return json.loads(content.decode("utf-8"))
    # Brackets within brackets within brackets.
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} must be a JSON file. Received: {_reason(error)}"
        ) from error


class RowTooLong(ValueError):
    """A row of a text file has more than `MAX_ROW` characters."""


def open_rows(
    path: PathLike, newline: str | None = "", quotes: bool = True
) -> io.TextIOWrapper:
    """Opens a text file in UTF-8, with or without a byte order mark.

    With `quotes`, as in a CSV file, a row may have line breaks in quotes. The
    stream raises `RowTooLong` where a reader would gather ever more of the
    file in memory: to its end, if quotes are not closed.
    """
    return _Rows(pathlib.Path(path).open("rb"), newline, quotes)


class _Rows(io.TextIOWrapper):
    """Counts the characters of each row on their way."""

    def __init__(self, stream, newline, quotes):
        super().__init__(stream, "utf-8-sig", newline=newline)
        self._quotes = quotes
        self._in_quotes = False
        self._length = 0
        # As before the first row.
        self._last = "\n"

    def read(self, size=-1):
        return self._counted(super().read(size))

    def readline(self, size=-1):
        return self._counted(super().readline(MAX_ROW + 1))

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def _counted(self, text):
        start = 0
        while start < len(text):
            quote = text.find('"', start) if self._quotes else -1
            end = len(text) if quote < 0 else quote + 1
            if self._in_quotes:
                self._length += end - start
                self._in_quotes = quote < 0
                # The second of two quotes opens them again.
                self._last = ","
            else:
                self._count_rows(text[start:end])
                if quote >= 0:
                    before = text[quote - 1] if quote > start else self._last
                    # Elsewhere it is a character like others.
                    self._in_quotes = before in ",\r\n"
                self._last = text[end - 1]
            start = end
            if self._length > MAX_ROW:
                raise RowTooLong(
                    f"a row of more than {MAX_ROW:,} characters, or quotes "
                    "that are not closed"
                )
        return text

    def _count_rows(self, text):
        first, *others = text.replace("\r", "\n").split("\n")
        self._length += len(first)
        if others and self._length <= MAX_ROW:
            longest = max(map(len, others))
            self._length = longest if longest > MAX_ROW else len(others[-1])


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[pathlib.Path]:
    """A path to write to, whose file becomes that of `path` at the end.

    If that fails, what was there stays, and nothing beside it.
    """
    path = pathlib.Path(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def spreadsheet_cell(value: Any) -> Any:
    """A cell of a table that people open in a spreadsheet.

    A text that begins like a formula gets an apostrophe in front, so that
    it is shown and not computed: names of files are chosen by others.
    """
    if isinstance(value, str) and value.startswith(tuple("=+-@\t\r\n")):
        return f"'{value}"
    return value


def _reason(error):
    return one_line(error) or type(error).__name__
