"""What the tests of hostile files share."""

import contextlib
import tracemalloc
import zipfile

import pytest


class Marker:
    """Pickled, it makes a file when it is read by something careless."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@contextlib.contextmanager
def refused(match, megabytes=100):
    """Expects a `ValueError` of one line, before much memory is taken."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match) as error:
            yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(error.value)
    assert len(message.splitlines()) == 1 and message.isprintable()
    assert len(message) < 2000
    assert peak < megabytes * 2**20, f"{peak:,} bytes"


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    """Writes an archive: a dict by name of bytes, or of functions that write
    to a file."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=True) as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content)
    return path


def zeros(count):
    """A member of `count` zeros, which compress to a thousandth."""

    def write(file):
        for _ in range(count // 2**20):
            file.write(bytes(2**20))

    return write
