"""Images as clients send them: upright and on white, as a viewer shows them."""

import tensorflow as tf

from keras_noisyfer.datasets.image_files import PNG_SIGNATURE
from keras_noisyfer.datasets.image_sources import decode_pixels
from keras_noisyfer.typing import Tensor

# Where a file's first bytes tell of its EXIF data and transparency.
_HEADER = 2**17
_ORIENTATION = 0x0112
# An image file directory has some twenty.
_MAX_ENTRIES = 200


def decode_upright(encoded: Tensor, channels: int) -> Tensor:
    """Decodes a JPEG, PNG or BMP file's bytes as `upright_rgb` reads files.

    Args:
        encoded: The bytes, a scalar.
        channels: 1 or 3.

    Returns:
        uint8 of shape `(height, width, channels)`.
    """
    header = tf.io.decode_raw(tf.strings.substr(encoded, 0, _HEADER), tf.uint8)
    # What is looked up behind the end is 0.
    header = tf.pad(tf.cast(header, tf.int64), [[0, 32]])
    pixels = tf.cond(
        _is_transparent(header),
        lambda: _on_white(encoded, channels),
        lambda: decode_pixels(encoded, channels),
    )
    return _turn(pixels, _orientation(header))


def _find(header, text):
    """Where a text is in a header, and whether it is there."""
    length = tf.size(header) - len(text)
    matches = tf.reduce_all(
        [header[i : length + i] == byte for i, byte in enumerate(text)], axis=0
    )
    return tf.argmax(matches), tf.reduce_any(matches)


def _is_png(header):
    return tf.reduce_all(header[:8] == [*PNG_SIGNATURE])


def _is_transparent(header):
    # The type of its colours: gray, or RGB, with alpha.
    has_alpha = (header[25] == 4) | (header[25] == 6)
    return _is_png(header) & (has_alpha | _find(header, b"tRNS")[1])


def _on_white(encoded, channels):
    pixels = tf.cast(tf.io.decode_png(encoded, channels=4), tf.float32)
    alpha = pixels[..., 3:] / 255.0
    pixels = tf.round(pixels[..., :3] * alpha + 255.0 * (1.0 - alpha))
    pixels = tf.cast(pixels, tf.uint8)
    return tf.image.rgb_to_grayscale(pixels) if channels == 1 else pixels


def _orientation(header):
    """That of the EXIF data, from 1 to 8; 1 where it tells none."""
    begin, is_there = _find(header, b"Exif\0\0")
    chunk, in_chunk = _find(header, b"eXIf")
    # A chunk of a PNG file may be without that heading.
    in_chunk &= _is_png(header) & ~is_there
    begin = tf.where(in_chunk, chunk + 4, begin + 6)
    is_there |= in_chunk
    is_little = header[begin] == 0x49
    last = tf.size(header, tf.int64) - 1

    def number(places, size):
        digits = tf.range(size, dtype=tf.int64)
        found = tf.gather(
            header,
            tf.clip_by_value(places[..., None] + digits, 0, last),
        )
        power = tf.where(is_little, digits, size - 1 - digits)
        return tf.reduce_sum(found * 256**power, axis=-1)

    directory = begin + number(begin + 4, 4)
    count = tf.minimum(number(directory, 2), _MAX_ENTRIES)
    entries = directory + 2 + 12 * tf.range(count)
    is_own = number(entries, 2) == _ORIENTATION
    value = tf.reduce_sum(tf.where(is_own, number(entries + 8, 2), 0))
    return tf.where(is_there & (value >= 1) & (value <= 8), value, 1)


def _turn(pixels, orientation):
    def change(pixels, orientations, function):
        return tf.cond(
            tf.reduce_any(orientation == orientations),
            lambda: function(pixels),
            lambda: pixels,
        )

    pixels = change(pixels, [5, 6, 7, 8], tf.image.transpose)
    pixels = change(pixels, [2, 3, 6, 7], tf.image.flip_left_right)
    return change(pixels, [3, 4, 7, 8], tf.image.flip_up_down)
