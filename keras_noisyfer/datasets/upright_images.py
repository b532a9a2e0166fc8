"""Image files read as 8-bit RGB images, as a viewer shows them."""

import contextlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.image_files import image_problem
from keras_noisyfer.typing import PathLike

READABLE_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
# What `image_problem` may call an image that has a right 8-bit RGB copy.
CONVERTIBLE = {
    "16-bit values",
    "alpha channel",
    "CMYK colours",
    "EXIF rotation",
    "palette colours",
    "unsupported format",
    "wrong extension",
}


class UnusableImage(Exception):
    """An image has to be left out.

    Args:
        problem: A few words, the same for all images with that problem.
        detail: What is known about this one.
    """

    def __init__(self, problem: str, detail: str = ""):
        super().__init__(problem, detail)
        self.problem = problem
        self.detail = detail


def upright_rgb(image: Image.Image) -> Image.Image:
    """An 8-bit RGB copy of a Pillow image of any mode, as a viewer shows it;
    see `convert_images`.

    Raises:
        UnusableImage: if its values have no known range.
    """
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


def read_rgb(path: PathLike) -> Image.Image:
    """A checked image file as a Pillow image of mode RGB.

    Raises:
        UnusableImage: if `image_problem` names it, or it is truncated.
    """
    problem = image_problem(path, decode=False)
    if problem:
        raise UnusableImage(*problem)
    with open_image(path) as image:
        return image.convert("RGB")


def read_upright_rgb(path: PathLike) -> Image.Image:
    """Any image file that has a right 8-bit RGB copy, as that copy.

    Raises:
        UnusableImage: if it has none.
    """
    problem = image_problem(path, decode=False)
    if problem and problem[0] not in CONVERTIBLE:
        raise UnusableImage(*problem)
    with open_image(path) as image:
        return upright_rgb(image)


@contextlib.contextmanager
def open_image(path: PathLike) -> Iterator[Image.Image]:
    """An image file of one of `READABLE_FORMATS`, open.

    Raises:
        UnusableImage: if it is of another format, or damaged.
    """
    try:
        # Pillow would start another program for some of the other formats.
        with Image.open(path, formats=READABLE_FORMATS) as image:
            yield image
    except Image.UnidentifiedImageError:
        detail = f"not one of {', '.join(READABLE_FORMATS)}"
        raise UnusableImage("unsupported format", detail) from None
    except UnusableImage:
        raise
    # Pillow finds damage behind the header when it decodes: any error at all.
    except Exception as error:
        raise UnusableImage(
            "truncated or damaged image", one_line(error)
        ) from error
