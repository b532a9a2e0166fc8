"""Folders of images made from other folders of images."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from PIL import Image

from keras_noisyfer.arguments import check_number
from keras_noisyfer.datasets.image_files import (
    EXTENSIONS,
    READABLE_EXTENSIONS,
    UnusableImage,
    check_folder,
    check_image,
    leads_out,
    list_images,
    locate_image,
    open_image,
    upright_rgb,
)
from keras_noisyfer.datasets.image_names import ImageFolder
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import read_json
from keras_noisyfer.typing import PathLike

SETTINGS_FILE = "settings.json"
REJECTED_FILE = "rejected.csv"
JPEG_QUALITY = 95
# Images that wait for a thread, so that a long list takes little memory.
SUBMITTED_AT_ONCE = 1000


def convert_images(
    image_root: PathLike,
    output_root: PathLike,
    names: Iterable[PathLike] | None = None,
    *,
    size: int | None = None,
    on_error: str = "raise",
    workers: int | None = None,
) -> ImportReport:
    """Makes a folder of images that every loader here can read.

    Images that are good already are copied byte for byte. Of the others an
    8-bit RGB copy is made that looks as a viewer shows the image: turned
    upright by its EXIF tag; CMYK and palette colours as RGB, without regard
    to an ICC profile; 16-bit values divided by 257, so that the whole range
    is kept; transparent parts on white; of an animation the first frame.
    Truncated, empty and too large files and those that hold no image are
    rejected.

    Names stay as they are, so that label tables still match: the extension
    says which format is written, whatever the file held. Only a file whose
    extension is not that of a JPEG, PNG or BMP file gets `.png` added, as in
    `cat.gif.png`, and the report counts these.

    A run that was stopped goes on where it was: files that are there are not
    made again unless the image is newer. `rejected.csv` lists what was left
    out.

    Args:
        image_root: Folder of the images.
        output_root: Folder that the copies go to; empty, or that of an
            earlier run with the same settings.
        names: Paths of the images relative to `image_root`; by default those
            of all files below it with the extension of an image.
        size: Longest side in pixels: larger images are scaled down. By
            default none is scaled.
        on_error: `"raise"` at the first image that cannot be converted, or
            `"skip"` and count them.
        workers: Number of threads; by default one a processor.

    Returns:
        An `ImportReport`.

    Raises:
        ValueError: if an argument is wrong, `output_root` holds something
            else, or, with `on_error="raise"`, an image cannot be converted.

    Example:

    >>> print(convert_images("faces", "good_faces", on_error="skip"))
    accepted: 996 images
    rejected: 3 truncated or damaged image (first: cat_17.jpg)
    """
    if size is not None:
        check_number("size", size, minimum=1, integer=True)
    if names is None:
        names = list_images(image_root, READABLE_EXTENSIONS)
    paths = [str(each) for each in names]

    def make(index, path):
        is_good = check_image(path, convert=True)
        with open_image(path) as image:
            if is_good and max(image.size) <= (size or np.inf):
                return path
            image = upright_rgb(image)
        if size is not None:
            image.thumbnail((size, size), Image.Resampling.BICUBIC)
        return image

    report = make_images(
        image_root,
        output_root,
        paths,
        make,
        {"made_by": "convert_images", "size": size},
        on_error=on_error,
        workers=workers,
        description="converting images",
    )
    renamed = sum(_output_name(each) != each for each in paths)
    if renamed:
        report.notes["names that got .png added"] = renamed
    return report


def make_images(
    image_root: PathLike,
    output_root: PathLike,
    names: Sequence[str],
    make: Callable[[int, str], Any],
    settings: Mapping[str, Any],
    *,
    on_error: str,
    description: str,
    workers: int | None = None,
    sources: Sequence[str] | None = None,
) -> ImportReport:
    """Makes one image of each image of a folder, in parallel; see
    `convert_images`.

    `names` are the paths of the new images, and of the images themselves
    where `sources` does not tell others. `make` is a function of an image's
    index in `names` and its path that returns a Pillow image of mode RGB, or a
    path to be copied, or raises `UnusableImage`; it is called from several
    threads. `settings` are what decides how the new images look, kept beside
    them, and `description` is for the progress bar.
    """
    report = ImportReport(on_error)
    if workers is not None:
        check_number("workers", workers, minimum=1, integer=True)
    check_folders(image_root, output_root, names, settings)
    folder = ImageFolder(image_root)

    def process(index):
        name = names[index]
        source = name if sources is None else sources[index]
        try:
            path = locate_image(image_root, name if leads_out(name) else source)
            target = output_path(output_root, name)
            # An output has the time of what it was made of, which may be
            # replaced by an older file.
            modified = os.stat(path).st_mtime_ns
            if target.exists() and os.stat(target).st_mtime_ns == modified:
                return "earlier"
            _write(make(index, path), target, modified)
            return "made"
        except UnusableImage as error:
            # No image may be left that was made of an earlier file.
            with contextlib.suppress(UnusableImage):
                os.unlink(locate_image(output_root, _output_name(name)))
            return folder.explain(source, error.problem, error.detail)[1:]

    earlier = 0
    options: Any = {"unit": " images", "delay": 2, "disable": None}
    pool = concurrent.futures.ThreadPoolExecutor(workers or os.cpu_count())

    def outcomes():
        for start in range(0, len(names), SUBMITTED_AT_ONCE):
            part = range(len(names))[start : start + SUBMITTED_AT_ONCE]
            yield from pool.map(process, part)

    progress = tqdm.tqdm(outcomes(), description, len(names), **options)
    try:
        # In the names' order, so that the report is always the same.
        for name, outcome in zip(names, progress, strict=True):
            if outcome == "earlier":
                earlier += 1
            elif outcome != "made":
                report.reject(name, *outcome)
    finally:
        pool.shutdown(cancel_futures=True)
    report.accepted = len(names) - len(report.entries)
    if earlier:
        report.notes["made by an earlier run"] = earlier
    # What is made already may lie where this user can only read.
    if os.access(output_root, os.W_OK):
        report.write_csv(pathlib.Path(output_root, REJECTED_FILE))
    return report


def check_folders(
    image_root: PathLike,
    output_root: PathLike,
    names: Sequence[str],
    settings: Mapping[str, Any],
) -> None:
    """Makes the folder of new images, and keeps in it their settings."""
    source = check_folder("`image_root`", image_root)
    target = os.path.realpath(output_root)
    if os.path.commonpath([source, target]) == source:
        raise ValueError(
            "`output_root` must be a folder outside of `image_root`. "
            f"Received: {output_root}"
        )
    seen = set()
    for name in names:
        path = output_path("", name)
        if path in seen:
            raise ValueError(
                f"`names` must have each image once. Received: {name!r} twice"
            )
        seen.add(path)
    # A relative path stays right when both folders are moved together.
    settings = {"image_root": os.path.relpath(source, target), **settings}
    folder = pathlib.Path(output_root)
    path = folder / SETTINGS_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
        earlier = read_json(path)
        if not isinstance(earlier, dict):
            raise ValueError(f"{path} must hold settings")
    except (OSError, ValueError) as error:
        raise ValueError(
            "`output_root` must be an empty folder that can be written to, or "
            f"that of an earlier run. Received: {output_root} ({error})"
        ) from None
    for name in sorted(earlier | settings):
        if earlier.get(name) != settings.get(name):
            raise ValueError(
                f"`output_root` {output_root} has images that were made with "
                f"{name}={earlier.get(name)!r}: choose another folder or "
                f"delete it. Received: {name}={settings.get(name)!r}"
            )


def output_path(output_root: PathLike, name: str) -> pathlib.Path:
    """The path of the image that is made of the image `name`."""
    return pathlib.Path(output_root, os.path.normpath(_output_name(name)))


def _output_name(name):
    return name if name.lower().endswith(EXTENSIONS) else f"{name}.png"


def _write(made, target, modified):
    target.parent.mkdir(parents=True, exist_ok=True)
    # The same name in each run: what a killed one has left is overwritten.
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        if isinstance(made, Image.Image):
            kind = Image.registered_extensions()[target.suffix.lower()]
            made.save(unfinished, kind, quality=JPEG_QUALITY)
        else:
            shutil.copyfile(made, unfinished)
        os.utime(unfinished, ns=(modified, modified))
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
