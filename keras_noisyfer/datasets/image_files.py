"""What a good image file is, and what can be made of the others.

Loading, converting, aligning, predicting and serving all ask here.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.typing import PathLike, Tensor

# What both Pillow and TensorFlow decode, with the usual file name endings.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
}
EXTENSIONS = tuple(each for group in FORMATS.values() for each in group)
# Further ones that Pillow reads without starting another program.
READABLE_FORMATS = (*FORMATS, "GIF", "WEBP", "TIFF")
READABLE_EXTENSIONS = (*EXTENSIONS, ".gif", ".webp", ".tif", ".tiff")
# A 50-megapixel photograph takes 150 MB once decoded.
MAX_PIXELS = 50_000_000
# That of JPEG files. TensorFlow's decoder of PNG files stops at a million.
MAX_SIDE = 65_500

# What Pillow's modes are called here.
MODE_PROBLEMS = {
    **dict.fromkeys(("CMYK", "YCCK"), "CMYK colours"),
    **dict.fromkeys(("RGBA", "LA", "PA"), "alpha channel"),
    **dict.fromkeys(("I", "F"), "16-bit values"),
    "P": "palette colours",
}
# Problems of images that have a right 8-bit RGB copy.
CONVERTIBLE = {
    *MODE_PROBLEMS.values(),
    "EXIF rotation",
    "unsupported format",
    "wrong extension",
}
# Decoders go through the whole image once a scan of a progressive JPEG file;
# ten are usual.
MAX_SCANS = 200
DAMAGED = "truncated or damaged image"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class UnusableImage(Exception):
    """An image has to be left out: for a problem, a few words that are the
    same for all images with it, and a detail, what is known about this one."""

    def __init__(self, problem: str, detail: str = ""):
        super().__init__(problem, detail)
        self.problem = problem
        self.detail = detail


def locate_image(image_root: PathLike, name: str) -> str:
    """The path of an image, which has to stay within its folder:
    `UnusableImage` if `name` is empty, absolute, or leads out of `image_root`
    by `..` or a symbolic link, or no file is there."""
    root = os.path.realpath(image_root)
    if not name or "\0" in name:
        raise UnusableImage("missing image", f"no file name but {name!r}")
    if leads_out(name):
        raise UnusableImage("path out of the image folder", f"in {image_root}")
    path = os.path.join(root, os.path.normpath(name))
    if not os.path.exists(path):
        raise UnusableImage("missing image", f"no such file in {image_root}")
    target = os.path.realpath(path)
    if not target.startswith(os.path.join(root, "")):
        raise UnusableImage("symbolic link out of the image folder", target)
    if not os.path.isfile(path):
        raise UnusableImage("missing image", "not a file")
    return path


def leads_out(name: str) -> bool:
    """Whether a path would leave its folder, even if it comes back to it:
    images made of this one get its name in another folder."""
    first = os.path.normpath(name).split(os.sep)[0]
    return os.path.isabs(name) or first in (os.curdir, os.pardir)


def check_image(
    path: PathLike,
    max_pixels: int = MAX_PIXELS,
    decode: bool = True,
    convert: bool = False,
) -> bool:
    """Raises `UnusableImage` at an image file that TensorFlow could not decode,
    or would decode to something else than a viewer shows. Without `decode` only
    its header is read, which leaves damage behind it.

    Returns:
        Whether it is good: with `convert`, False where it has one of the
        problems `CONVERTIBLE`.
    """
    if os.path.getsize(path) == 0:
        raise UnusableImage("empty file", "0 bytes")
    try:
        with open_image(path, None) as image:
            _check_header(image, os.fspath(path), max_pixels)
            if _count_scans(path) > MAX_SCANS:
                raise UnusableImage("too many scans", f"more than {MAX_SCANS}")
    except UnusableImage as error:
        if convert and error.problem in CONVERTIBLE:
            return False
        raise
    if decode:
        _check_decoding(path)
    return True


def _check_header(image, path, max_pixels):
    width, height = image.size
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise UnusableImage("too large image", f"{width}x{height} pixels")
    # What many cameras write: a JPEG file with further images at its end.
    kind = "JPEG" if image.format == "MPO" else image.format
    endings = FORMATS.get(kind)
    if endings is None:
        raise UnusableImage("unsupported format", f"{image.format}")
    if not path.lower().endswith(endings):
        ending = os.path.splitext(path)[1]
        raise UnusableImage(
            "wrong extension", f"{kind} data in a {ending} file"
        )
    mode = "I" if image.mode.startswith("I;16") else image.mode
    if mode in MODE_PROBLEMS:
        raise UnusableImage(MODE_PROBLEMS[mode], f"mode {image.mode}")
    if "transparency" in image.info:
        raise UnusableImage("alpha channel", "transparent colour")
    if kind == "BMP" and image.mode == "1":
        raise UnusableImage("unsupported format", "BMP with one bit a pixel")
    if kind == "PNG" and _png_bit_depth(path) == 16:
        raise UnusableImage("16-bit values", f"mode {image.mode}")
    # The method of PNG images would decode the whole file.
    orientation = Image.Image.getexif(image).get(Base.Orientation, 1)
    if orientation not in (0, 1):
        raise UnusableImage("EXIF rotation", f"orientation {orientation}")


def _png_bit_depth(path):
    # Pillow opens 16-bit colours as 8-bit ones without saying so.
    with open(path, "rb") as file:
        return file.read(25)[24]


def _count_scans(path):
    """Number of scans of a JPEG file, 0 of others."""
    with open(path, "rb") as file:
        if file.read(2) != b"\xff\xd8":
            return 0
        # Pixels never look like this: 0xff is followed by 0 there.
        return file.read().count(b"\xff\xda")


def _check_decoding(path):
    try:
        _decode_coarsely(os.fspath(path))
    except tf.errors.OpError as error:
        # Without the marks of the operation that TensorFlow adds.
        detail = re.sub(r"{{.*?}}|\[Op:.*", "", error.message)
        raise UnusableImage(DAMAGED, one_line(detail)) from error


def _decode_coarsely(path):
    # A JPEG file at an eighth of its size: every byte is read all the same.
    encoded = tf.io.read_file(path)
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, ratio=8),
        lambda: tf.io.decode_image(
            encoded, channels=3, expand_animations=False
        ),
    )


def check_image_files(
    image_root: PathLike,
    names: Sequence[str],
    report: ImportReport,
    decode: bool = True,
    explain: Callable[[str, str, str], Sequence[str]] | None = None,
) -> np.ndarray:
    """Checks that every image is there and can be decoded.

    Args:
        image_root: Folder of the images.
        names: Their paths relative to it, without repeats.
        report: `ImportReport` that bad images are rejected by.
        decode: As in `check_image`.
        explain: Function of a name, a problem and its detail that returns
            what to reject, such as `ImageFolder.explain`.

    Returns:
        Boolean array, whether each image is good.

    Raises:
        ValueError: if `image_root` is not a folder, or, as the report says,
            at the first bad image.
    """
    check_folder("`image_root`", image_root)
    good = np.ones(len(names), bool)

    def check(index, decode):
        try:
            path = locate_image(image_root, names[index])
            check_image(path, decode=decode)
            return path
        except UnusableImage as error:
            bad = names[index], error.problem, error.detail
        good[index] = False
        report.reject(*(explain(*bad) if explain else bad))

    options: Any = {"unit": " files", "delay": 2, "disable": None}
    indices = tqdm.tqdm(range(len(names)), "checking", **options)
    paths = [check(index, False) for index in indices]
    left = set(np.flatnonzero(good).tolist()) if decode else set()
    if left:
        dataset = tf.data.Dataset.from_tensor_slices(
            ([*left], [paths[index] for index in left])
        )
        # As training decodes: an element that fails is left out.
        dataset = dataset.map(
            lambda index, path: (index, tf.size(_decode_coarsely(path))),
            tf.data.AUTOTUNE,
        ).ignore_errors()
        with tqdm.tqdm(desc="decoding", total=len(left), **options) as progress:
            for indices, _ in dataset.batch(256).as_numpy_iterator():
                left.difference_update(indices.tolist())
                progress.update(len(indices))
    for index in sorted(left):
        check(index, True)
    return good


def check_folder(argument: str, path: object, hint: str = "") -> str:
    """The real path of a folder, or a `ValueError` that ends with a hint."""
    # A number would be taken for that of an open file.
    if isinstance(path, (str, os.PathLike)) and os.path.isdir(path):
        return os.path.realpath(path)
    hint = hint and f". {hint}"
    raise ValueError(f"{argument} must be a folder. Received: {path}{hint}")


def list_images(
    image_root: PathLike, endings: Sequence[str] = EXTENSIONS
) -> list[str]:
    """Paths of all files below a folder whose names end so, in small letters,
    relative to it, sorted; by default of all images. Symbolic links to folders
    are not followed."""
    paths = (
        os.path.join(os.path.relpath(folder, image_root), file)
        for folder, _, files in os.walk(image_root)
        for file in files
        if file.lower().endswith(tuple(endings))
    )
    return sorted(map(os.path.normpath, paths))


def read_rgb(path: PathLike, convert: bool = False) -> Image.Image:
    """A checked image file as a Pillow image of mode RGB; with `convert` also
    one that has a right 8-bit RGB copy, as that, see `upright_rgb`."""
    check_image(path, decode=False, convert=convert)
    with open_image(path) as image:
        return upright_rgb(image)


def upright_rgb(image: Image.Image) -> Image.Image:
    """An 8-bit RGB copy of a Pillow image of any mode, as a viewer shows it;
    see `convert_images`. Refused if its values have no known range."""
    transparency = "transparency" in image.info
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        # 32-bit values have no range that files keep to.
        if values.dtype.itemsize != 2 or values.dtype.kind != "u":
            raise UnusableImage("unknown range of values", image.mode)
        image = Image.fromarray(np.round(values / 257).astype("uint8"))
    if transparency or image.mode in ("RGBA", "LA", "PA"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image = image.convert("RGB")
    # A colour profile of the other mode would be saved with it.
    image.info.clear()
    return image


@contextlib.contextmanager
def open_image(
    path: PathLike, formats: Sequence[str] | None = READABLE_FORMATS
) -> Iterator[Image.Image]:
    """An image file, open, of one of these formats; None: of any, to read the
    header alone. Refused if it is none, or damaged."""
    try:
        with Image.open(path, formats=formats) as image:
            yield image
    except UnusableImage:
        raise
    # A warning where the user has turned warnings into errors.
    except (
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise UnusableImage("too large image", str(error)) from error
    except Image.UnidentifiedImageError:
        if formats is None:
            problem = "not an image", "unknown or damaged format"
        else:
            problem = "unsupported format", f"not one of {', '.join(formats)}"
        raise UnusableImage(*problem) from None
    # Damage can lead to any error at all.
    except Exception as error:
        raise UnusableImage(DAMAGED, one_line(error)) from error


def pixel_count(encoded: Tensor) -> Tensor:
    """Width times height of an image file by its header, an int64 scalar; 0
    if the bytes are not of a JPEG, PNG or BMP file."""

    # Too few bytes have sides of 0.
    header = tf.strings.substr(encoded + b"\0" * 26, 0, 26)

    def count(begin, little_endian):
        sides = tf.io.decode_raw(
            tf.strings.substr(header, begin, 8),
            tf.int32,
            little_endian=little_endian,
        )
        # The height of a BMP file that begins at the top is negative.
        return tf.reduce_prod(tf.abs(tf.cast(sides, tf.int64)))

    def jpeg_count():
        shape = tf.image.extract_jpeg_shape(encoded)
        return tf.reduce_prod(tf.cast(shape[:2], tf.int64))

    is_png = tf.strings.substr(header, 0, 8) == PNG_SIGNATURE
    is_bmp = tf.strings.substr(header, 0, 2) == b"BM"
    other = tf.where(is_bmp, count(18, True), 0)
    other = tf.where(is_png, count(16, False), other)
    return tf.cond(tf.io.is_jpeg(encoded), jpeg_count, lambda: other)
