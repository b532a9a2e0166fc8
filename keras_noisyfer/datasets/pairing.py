"""Files whose rows nothing but their place pairs: have rows changed places?"""

import hashlib
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_noisyfer.typing import PathLike

# Six bytes for each number in the name of an image of FER+, zeros for those
# that are not known.
CHECKSUMS = pathlib.Path(__file__).with_name("fer2013_checksums.npy")
_NUMBER = re.compile(r"^fer([0-9]{1,9})\.png$")


def check_numbers(names: Any, path: PathLike) -> None:
    """Raises a `ValueError` unless a table of FER+ has its images in the
    published order: their numbers increase. A removed image's name is `""`."""
    # Those of equal images are out of order in the published table.
    names = names[~names.duplicated(keep=False)]
    numbers = names.str.extract(_NUMBER, expand=False).dropna().astype("int64")
    wrong = np.flatnonzero(np.diff(numbers) <= 0)
    if len(wrong):
        first, second = names[numbers.index[wrong[0] : wrong[0] + 2]]
        raise ValueError(
            f"{path} must have its rows in the order in which it was "
            "published: nothing but their place says which pixels are theirs. "
            f"Received: {second} behind {first}"
        )


def check_pixels(
    names: Sequence[str], images: np.ndarray, paths: Sequence[PathLike]
) -> None:
    """Raises a `ValueError` if an image of FER2013 has the name of another.
    Of pixels that FER+ does not have nothing is known."""
    checksums = np.load(CHECKSUMS)
    known = set(map(bytes, checksums[checksums.any(axis=1)]))
    for name, image in zip(names, images, strict=True):
        number = _NUMBER.fullmatch(name)
        index = int(number[1]) if number else len(checksums)
        if index < len(checksums) and checksums[index].any():
            found = _checksum(image, size=6)
            if found != bytes(checksums[index]) and found in known:
                raise ValueError(
                    f"{paths[1]} must have the rows of {paths[0]} in their "
                    "order. Received: pixels of another image of FER2013 for "
                    f"{name}"
                )


def are_copies(names: Sequence[str]) -> np.ndarray:
    """Which images of FER2013 have the pixels of one with a lower number, of
    the same split or of an earlier one; boolean, one a name."""
    checksums = np.load(CHECKSUMS)
    _, first, which = np.unique(
        checksums, axis=0, return_index=True, return_inverse=True
    )
    is_copy = first[which.reshape(-1)] < np.arange(len(checksums))
    is_copy &= checksums.any(axis=1)
    numbers = [_NUMBER.fullmatch(name) for name in names]
    known = [int(each[1]) if each else len(is_copy) for each in numbers]
    return np.array([n < len(is_copy) and is_copy[n] for n in known], bool)


def check_order(
    rows: np.ndarray, published: tuple[str, ...], what: str
) -> None:
    """Raises a `ValueError` if `rows`, an array with one an image, are those
    `published`, see `row_checksums`, in another order; of other rows nothing
    is known. `what` the rows are is for the message."""
    content, order = row_checksums(rows)
    if content == published[0] and order != published[1]:
        raise ValueError(
            f"{what} must be in the order in which they were published: "
            "nothing but their place says which label is whose. "
            "Received: the same rows in another order"
        )


def row_checksums(rows: np.ndarray) -> tuple[str, ...]:
    """Checksums of what rows hold in any order, and of what in theirs."""
    each = [_checksum(row, size=8) for row in rows]
    return tuple(
        hashlib.blake2b(b"".join(parts), digest_size=8).hexdigest()
        for parts in (sorted(each), each)
    )


def _checksum(array, size):
    return hashlib.blake2b(array.tobytes(), digest_size=size).digest()
