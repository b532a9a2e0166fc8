"""The files and labels that loaders of faces have in common."""

import hashlib
import os
import pathlib
from collections.abc import Iterable

import pandas as pd
import tensorflow_datasets as tfds

from keras_noisyfer.datasets.image_files import list_images
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.typing import PathLike


def join_machine_labels(
    faces: pd.DataFrame,
    machine: pd.DataFrame,
    report: ImportReport,
    path: str,
    known: Iterable[str],
) -> pd.DataFrame:
    """Adds machine labels by name, and leaves out images without them.

    `report.notes` tells how many labels belong to no image.

    Args:
        faces: `DataFrame` indexed by name.
        machine: `DataFrame` indexed by name; its columns get the prefix
            `machine_`. Images in its `attrs["rejected"]` are left out without
            being counted again.
        report: `ImportReport`.
        path: The file that they were read from, for messages.
        known: Names of all images, whether in `faces` or not.
    """
    surplus = int((~machine.index.isin(known)).sum())
    if surplus:
        note = f"machine labels of no image, {os.path.basename(path)}"
        report.notes[note] = surplus
    found = faces.index.isin(machine.index)
    missing = faces.index[~found]
    if len(missing) and report.on_error == "raise":
        raise ValueError(
            f"{path} must have a label of every image. Received: labels of "
            f"{found.sum():,} of {len(faces):,} images, none of {missing[0]}. "
            'With `on_error="skip"` the others are left out and counted'
        )
    for name in missing.difference(machine.attrs["rejected"], sort=False):
        report.reject(name, "no machine label", path)
    return faces[found].join(machine.add_prefix("machine_"))


def reject_unlabelled(
    image_root: PathLike, labelled: Iterable[str], report: ImportReport
) -> None:
    """Rejects the images of a folder that no label file names: `labelled` are
    the paths relative to it that have a label, or a rejected one."""
    for name in sorted(set(list_images(image_root)) - set(labelled)):
        report.reject(name, "image without label", f"in {image_root}")


def cache_folder(folder: PathLike | None) -> pathlib.Path:
    """The folder of prepared data, made if it is not there."""
    if not isinstance(folder, (str, os.PathLike, type(None))):
        raise ValueError(f"`cache_dir` must be a folder. Received: {folder}")
    folder = pathlib.Path(folder or tfds.core.constants.DATA_DIR).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            "`cache_dir` must be a folder that can be written to. "
            f"Received: {folder} ({error.strerror})"
        ) from None
    return folder


def fingerprint(folder: str, paths: Iterable[str]) -> str:
    """Eight hexadecimal digits that change with the folder or the files."""
    digest = hashlib.blake2b(folder.encode(), digest_size=4)
    for path in paths:
        # Not the path itself: a file may be found at another place.
        digest.update(b"\0" + os.path.basename(path).encode() + b"\0")
        if os.path.isdir(path):
            for file in sorted(_list_files(path)):
                digest.update(file.encode("utf-8", "surrogateescape") + b"\0")
        else:
            with open(path, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "blake2b").digest())
    return digest.hexdigest()


def _list_files(folder, parent=""):
    """Name, size and time of each file in a folder and those in it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{parent}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _list_files(entry.path, f"{name}/")
                continue
            try:
                status = entry.stat()
            except OSError:
                # A link to nowhere.
                status = entry.stat(follow_symlinks=False)
            yield f"{name}\0{status.st_size}\0{status.st_mtime_ns}"


def check_folder(argument: str, path: object, source: str = "") -> str:
    """The real path of a folder, or a `ValueError`."""
    # A number would be taken for that of an open file.
    if isinstance(path, (str, os.PathLike)):
        real = os.path.realpath(os.path.expanduser(path))
        if os.path.isdir(real):
            return real
    message = f"{argument} must be a folder. Received: {path}"
    raise ValueError(f"{message}. {source}" if source else message)
