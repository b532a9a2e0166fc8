"""Where images come from, files or an array, and how training decodes them."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_noisyfer.datasets.image_files import FORMATS
from keras_noisyfer.datasets.pipeline import check_images
from keras_noisyfer.typing import ArrayLike, PathLike, Shape, Tensor

Decode = Callable[[Tensor], Tensor]


class ImageFiles:
    """Images that stay in their files until they are needed.

    Args:
        image_root: Folder of the images.
        names: Their paths relative to it, which `check_image_files` has
            found good.
    """

    # Files have no common size.
    image_shape = None

    def __init__(self, image_root: PathLike, names: Sequence[str]):
        self.image_root = os.fspath(image_root)
        self.names = list(names)
        # The endings have been checked together with the files.
        endings = FORMATS["JPEG"]
        self._is_jpeg = all(n.lower().endswith(endings) for n in self.names)

    def read(self, image_shape: Shape) -> tuple[tf.data.Dataset, Decode]:
        """A `tf.data.Dataset` of something small an image, its path, and what
        makes the image of it: uint8 of shape `image_shape`."""
        paths = [os.path.join(self.image_root, name) for name in self.names]

        def decode(path):
            content = tf.io.read_file(path)
            return decode_image(content, image_shape, self._is_jpeg)

        paths = tf.constant(paths, tf.string)
        return tf.data.Dataset.from_tensor_slices(paths), decode

    def select(self, indices: Any) -> "ImageFiles":
        """The images of increasing indices, or of a slice."""
        names = np.array(self.names, object)[indices]
        return ImageFiles(self.image_root, names)


class ImageArray:
    """Images in memory.

    Args:
        images: Array of shape `(n, height, width, channels)`: uint8, or
            float in [-1, 1].
        names: One name an image; by default its number.
    """

    def __init__(self, images: ArrayLike, names: Iterable[str] | None = None):
        self.images = check_images(images)
        self.image_shape = self.images.shape[1:]
        numbers = range(len(self.images))
        self.names = list(map(str, numbers) if names is None else names)

    def read(self, image_shape: Shape) -> tuple[tf.data.Dataset, Decode]:
        """See `ImageFiles.read`: of numbers and images of their own dtype."""
        with tf.device("CPU"):
            images = tf.constant(self.images)

        def decode(number):
            image = images[number]
            if tuple(image_shape) == self.image_shape:
                return image
            scaled = tf.image.resize(image, image_shape[:2], antialias=True)
            if image.dtype == tf.uint8:
                scaled = tf.round(scaled)
            return tf.cast(scaled, image.dtype)

        return tf.data.Dataset.range(len(self.images)), decode

    def select(self, indices: Any) -> "ImageArray":
        """The images of increasing indices, or of a slice."""
        names = np.array(self.names, object)[indices]
        return ImageArray(self.images[indices], names)


def decode_image(
    encoded: Tensor, image_shape: Shape, is_jpeg: bool = False
) -> Tensor:
    """Decodes a JPEG, PNG or BMP file's bytes and scales the image to
    `image_shape`, `(height, width, channels)` with 1 or 3 channels, uint8. Its
    proportions are not kept. `is_jpeg` tells that it is a JPEG file, which
    saves looking.
    """
    height, width, channels = image_shape
    image = decode_pixels(encoded, channels, is_jpeg)
    image.set_shape((None, None, channels))
    has_size = tf.reduce_all(tf.shape(image)[:2] == [height, width])

    def scale():
        # As the exported model scales what it is served.
        scaled = tf.image.resize(image, (height, width), antialias=True)
        return tf.cast(tf.round(scaled), tf.uint8)

    image = tf.cond(has_size, lambda: image, scale)
    return tf.ensure_shape(image, (height, width, channels))


def decode_pixels(
    encoded: Tensor, channels: int, is_jpeg: bool = False
) -> Tensor:
    """Decodes a file's bytes at its size, see `decode_image`.

    Pixels are those that Pillow shows, in training and where a model is
    served: of a JPEG file at half its size, or by the faster cosine transform
    that TensorFlow takes by default, a model may predict something else.
    """

    def decode_jpeg():
        return tf.io.decode_jpeg(
            encoded, channels=channels, dct_method="INTEGER_ACCURATE"
        )

    if is_jpeg:
        return decode_jpeg()
    return tf.cond(
        tf.io.is_jpeg(encoded),
        decode_jpeg,
        lambda: _decode_other(encoded, channels),
    )


def _decode_other(encoded, channels):
    # Without animations the rank is known. A BMP file cannot be decoded to
    # one channel.
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.image.rgb_to_grayscale(image) if channels == 1 else image
