"""Augmentation of a batch of images, seeded."""

import math
from collections.abc import Sequence

import tensorflow as tf

from keras_noisyfer.typing import Tensor

BLACK = -1.0


def crop_and_flip(images: Tensor, seed: Tensor, padding: int = 4) -> Tensor:
    """Random crop of the padded images and random mirroring.

    The paper's augmentation on CIFAR-10: each image is moved by up to
    `padding` pixels, black where nothing is, and mirrored with probability
    one half.

    Args:
        images: Batch of shape `(batch_size, height, width, channels)`, in
            [-1, 1].
        seed: Pair of integers. The same pair gives the same result.
        padding: Largest shift, in pixels.

    Returns:
        A batch of the shape of `images`.
    """
    seeds = _split(seed, 2)
    shift = tf.random.stateless_uniform(
        (tf.shape(images)[0], 2), seeds[0], -padding, padding + 1, tf.int32
    )
    mirror = _random_signs(images, seeds[1])
    one, zero = tf.ones_like(mirror), tf.zeros_like(mirror)
    # Whole pixels, between which nothing is interpolated.
    shift = tf.cast(shift, tf.float32)
    return _warp(images, [mirror, zero, zero, one], shift)


def face_affine(
    images: Tensor,
    seed: Tensor,
    rotation: float = 10.0,
    translation: float = 10 / 256,
    zoom: Sequence[float] = (0.9, 1.1),
) -> Tensor:
    """Random rotation, translation, zoom and mirroring in one warp.

    The augmentation of the authors' release on aligned faces; black where
    nothing is.

    Args:
        images: Batch of shape `(batch_size, height, width, channels)`, in
            [-1, 1].
        seed: Pair of integers. The same pair gives the same result.
        rotation: Largest angle, in degrees, either way.
        translation: Largest shift either way, as a fraction of the image;
            the release has 10 pixels of 256.
        zoom: Smallest and largest magnification.

    Returns:
        A batch of the shape of `images`.
    """
    seeds = _split(seed, 4)
    count = tf.shape(images)[0]
    angle = tf.random.stateless_uniform((count,), seeds[0], -1.0, 1.0)
    angle *= rotation * math.pi / 180.0
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    shift = tf.random.stateless_uniform((count, 2), seeds[1], -1.0, 1.0)
    shift *= translation * size[::-1]
    scale = 1.0 / tf.random.stateless_uniform((count,), seeds[2], *zoom)
    mirror = _random_signs(images, seeds[3])
    cos, sin = scale * tf.cos(angle), scale * tf.sin(angle)
    return _warp(images, [cos * mirror, -sin, sin * mirror, cos], shift)


def _warp(images, matrix, shift):
    """Takes each pixel from where a matrix about the image's centre, row by
    row, and a shift of x and y lead."""
    a, b, c, d = matrix
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    center_y, center_x = (size[0] - 1.0) / 2.0, (size[1] - 1.0) / 2.0
    offset_x = center_x - a * center_x - b * center_y + shift[:, 0]
    offset_y = center_y - c * center_x - d * center_y + shift[:, 1]
    warped = _warp_bilinear(images, [a, b, offset_x, c, d, offset_y])
    return tf.ensure_shape(warped, images.shape)


def _split(seed, count):
    seed = tf.stack([tf.cast(each, tf.int64) for each in seed])
    return tf.unstack(tf.random.split(seed, count))


def _random_signs(images, seed):
    draws = tf.random.stateless_uniform((tf.shape(images)[0],), seed)
    return tf.where(draws < 0.5, -1.0, 1.0)


# Compiled it takes half the time of `ImageProjectiveTransformV3`, the most
# costly step of the input pipeline.
@tf.function(jit_compile=True)
def _warp_bilinear(images, rows):
    """Samples each image at `(a x + b y + c, d x + e y + f)`, black outside."""
    height, width, channels = images.shape[1:]
    x = tf.range(width, dtype=tf.float32)
    y = tf.range(height, dtype=tf.float32)[:, None]
    a, b, c, d, e, f = (row[:, None, None] for row in rows)
    # Positions in the padded image, whose border is black.
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "CONSTANT", BLACK)
    u = tf.clip_by_value(a * x + b * y + c + 1.0, 0.0, width + 1.0)
    v = tf.clip_by_value(d * x + e * y + f + 1.0, 0.0, height + 1.0)
    left = tf.minimum(tf.floor(u), float(width))
    top = tf.minimum(tf.floor(v), float(height))
    u, v = (u - left)[..., None], (v - top)[..., None]
    stride = width + 2
    pixels = tf.reshape(padded, (tf.shape(images)[0], -1, channels))
    corner = tf.cast(top * stride + left, tf.int32)

    def row(first):
        left, right = (
            tf.gather(pixels, corner + first + step, batch_dims=1)
            for step in (0, 1)
        )
        return left * (1.0 - u) + right * u

    return row(0) * (1.0 - v) + row(stride) * v
