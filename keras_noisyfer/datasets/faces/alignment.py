"""Faces cropped and turned so that the eyes are always at the same place."""

import pathlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from keras_noisyfer.arguments import check_number, one_line
from keras_noisyfer.datasets.conversion import (
    check_folders,
    make_images,
    output_path,
)
from keras_noisyfer.datasets.image_files import UnusableImage, read_rgb
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.files import open_rows, replacing
from keras_noisyfer.typing import PathLike

EYES_FILE = "eyes.csv"
EYE_COLUMNS = ["left_x", "left_y", "right_x", "right_y"]
MIN_EYE_DISTANCE = 2.0
# Where the left eye is to be, from the left and from the top, and the right
# one from the right, as a part of the face's size.
EYE_POSITION = 0.3
# How far outside an eye may be, as part of the image's longer side: faces at
# the border are cut off, and landmarks are guessed there.
MAX_OUTSIDE = 0.1
XY = Sequence[float] | np.ndarray


def eye_transform(left_eye: XY, right_eye: XY, size: int = 256) -> np.ndarray:
    """The similarity transform that brings the eyes to fixed places in a face
    of `size` pixels: an array of shape `(2, 3)` that maps `(x, y, 1)` of the
    image to `(x, y)` of the result; a `ValueError` if they are less than 2
    pixels apart.

    The left eye is that on the viewer's left; with the two swapped the face
    ends upside down. Whole numbers are centres of pixels. Positions are used
    as they are, where the authors' release first cuts them, and the point
    between them, to whole pixels.

    Example:

    >>> eye_transform((100, 120), (140, 120), size=200) @ (100, 120, 1)
    array([60., 60.])
    """
    check_number("size", size, minimum=1, integer=True)
    left = np.asarray(left_eye, "float64")
    right = np.asarray(right_eye, "float64")
    if not np.hypot(*(right - left)) >= MIN_EYE_DISTANCE:
        raise ValueError(
            f"`left_eye` and `right_eye` must be at least "
            f"{MIN_EYE_DISTANCE:g} pixels apart. "
            f"Received: {left_eye}, {right_eye}"
        )
    # As complex numbers, turning and scaling is one multiplication.
    factor = (1 - 2 * EYE_POSITION) * size / complex(*(right - left))
    shift = EYE_POSITION * size * (1 + 1j) - factor * complex(*left)
    a, b = factor.real, factor.imag
    return np.array([[a, -b, shift.real], [b, a, shift.imag]])


def align_face(
    image: Image.Image, left_eye: XY, right_eye: XY, size: int = 256
) -> Image.Image:
    """A face of an upright RGB image, cropped to `size` x `size` so that its
    eyes are level and at fixed places; see `eye_transform`. It is black where
    the image does not reach."""
    matrix = eye_transform(left_eye, right_eye, size)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    # Pillow counts from the corner of the first pixel, not from its centre.
    inverse[:, 2] += 0.5 - inverse[:, :2] @ (0.5, 0.5)
    # Bicubic interpolation sees 4x4 pixels, too few for a face that shrinks
    # to less than half.
    reduction = int(np.hypot(*inverse[:, 0]))
    if reduction >= 2:
        image = image.reduce(reduction)
        inverse /= reduction
    affine, bicubic = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    return image.transform((size, size), affine, inverse.ravel(), bicubic)


def align_faces(
    image_root: PathLike,
    output_root: PathLike,
    names: Iterable[PathLike],
    eyes: Any,
    *,
    size: int = 256,
    on_error: str = "raise",
    workers: int | None = None,
) -> ImportReport:
    """Makes a folder of aligned faces from a folder of images.

    The faces have the names of the images and the format of the extension:
    JPEG of quality 95, PNG or BMP. A run that was stopped goes on where it
    was: faces that are there are made again only if the image is newer, and a
    call with another size, or other eye positions of such a face, is refused.
    `output_root` also gets `eyes.csv` with the eye positions and
    `rejected.csv` with what was left out.

    Rejected are images that cannot be read as they are (`convert_images` makes
    good ones of many of them), those without eye positions, with eyes less
    than 2 pixels apart or outside of the image by more than a tenth of its
    longer side, and those whose left eye is right of the right eye: there
    the two are swapped, or the face lies upside down.

    Args:
        image_root: As of `convert_images`.
        output_root: As of `convert_images`.
        names: Paths of the images relative to `image_root`.
        eyes: Array of shape `(n, 2, 2)`: for each image the left eye, as the
            viewer sees it, and the right eye, each `(x, y)` in pixels of the
            stored image; NaN where unknown. Or a function of an image, uint8
            of shape `(height, width, 3)`, that returns such an array of
            shape `(2, 2)`, or None if it finds no face; it is called from
            different threads, once at a time.
        size: Width and height of the faces in pixels.
        on_error: As of `convert_images`.
        workers: As of `convert_images`.

    Returns:
        An `ImportReport`.

    Raises:
        ValueError: as `convert_images`.

    Example:

    >>> names, eyes = read_eyes("eyes.csv")
    >>> print(align_faces("photographs", "aligned", names, eyes))
    accepted: 2 images
    """
    check_number("size", size, minimum=1, integer=True)
    paths = [str(each) for each in names]
    # Few detectors may be called by several threads at once.
    lock = threading.Lock()
    how = "detected" if callable(eyes) else "given"
    if how == "given":
        eyes = np.asarray(eyes, "float64")
        if eyes.shape != (len(paths), 2, 2):
            raise ValueError(
                "`eyes` must have shape (n, 2, 2) with one entry a name: "
                f"{len(paths)}. Received: shape={eyes.shape}"
            )
    settings = {"made_by": "align_faces", "size": size, "eyes": how}
    if how == "given":
        check_folders(image_root, output_root, paths, settings)
        _keep_eyes(output_root, paths, eyes)

    def make(index, path):
        image = read_rgb(path)
        if how == "given":
            found = eyes[index]
        else:
            with lock:
                found = _check_found(eyes(np.asarray(image)))
        check_eyes(found, image.size)
        return align_face(image, *found, size)

    return make_images(
        image_root,
        output_root,
        paths,
        make,
        settings,
        on_error=on_error,
        description="aligning faces",
        workers=workers,
    )


def read_eyes(path: PathLike) -> tuple[list[str], np.ndarray]:
    """Reads a table of eye positions: a CSV file with the columns `image`,
    `left_x`, `left_y`, `right_x` and `right_y`, empty cells where unknown.

    Returns:
        A list of names, and a float64 array of shape `(n, 2, 2)`.
    """
    columns = ["image", *EYE_COLUMNS]
    try:
        with open_rows(path) as file:
            table = pd.read_csv(
                file,
                usecols=columns,
                dtype={"image": str, **dict.fromkeys(EYE_COLUMNS, "float64")},
            )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`path` must be a CSV file with the columns {', '.join(columns)}."
            f" Received: {path} ({one_line(error)})"
        ) from None
    names = table["image"].fillna("").tolist()
    return names, table[EYE_COLUMNS].to_numpy().reshape(-1, 2, 2)


def write_eyes(path: PathLike, names: Sequence[str], eyes: np.ndarray) -> None:
    """Writes a table of eye positions that `read_eyes` reads."""
    table = pd.DataFrame(np.reshape(eyes, (-1, 4)), names, EYE_COLUMNS)
    with replacing(path) as unfinished:
        table.to_csv(unfinished, index_label="image")


def _check_found(eyes):
    if eyes is None:
        return np.full((2, 2), np.nan)
    eyes = np.asarray(eyes, "float64")
    if eyes.shape != (2, 2):
        raise ValueError(
            "`eyes` must return an array of shape (2, 2) or None. "
            f"Received: shape={eyes.shape}"
        )
    return eyes


def check_eyes(eyes: np.ndarray, image_size: XY) -> None:
    """Raises `UnusableImage` at eye positions, `(2, 2)`, that no face of an
    image of this width and height can be aligned by."""
    if not np.isfinite(eyes).all():
        raise UnusableImage("no eye positions")
    (left_x, left_y), (right_x, right_y) = eyes
    margin = MAX_OUTSIDE * max(image_size)
    if np.hypot(right_x - left_x, right_y - left_y) < MIN_EYE_DISTANCE:
        problem = "eyes too close together"
    elif (eyes < -margin).any() or (eyes > np.add(image_size, margin)).any():
        problem = "eyes outside of the image"
    elif left_x >= right_x:
        problem = "left eye right of the right eye"
    else:
        return
    raise UnusableImage(
        problem,
        f"left {left_x:g}, {left_y:g}; right {right_x:g}, {right_y:g}; "
        f"image {image_size[0]}x{image_size[1]}",
    )


def _keep_eyes(output_root, names, eyes):
    """Writes the eye positions, unless faces were made by others."""
    path = pathlib.Path(output_root, EYES_FILE)
    kept = dict(zip(names, eyes, strict=True))
    if path.exists():
        for name, earlier in zip(*read_eyes(path), strict=True):
            given = kept.setdefault(name, earlier)
            if (
                not np.allclose(given, earlier, atol=1e-6, equal_nan=True)
                and output_path(output_root, name).exists()
            ):
                raise ValueError(
                    f"`output_root` {output_root} has a face that was made "
                    f"with other eye positions, {name}: choose another "
                    f"folder or delete it. Received: {given.tolist()}, "
                    f"earlier {earlier.tolist()}"
                )
    write_eyes(path, list(kept), list(kept.values()))
