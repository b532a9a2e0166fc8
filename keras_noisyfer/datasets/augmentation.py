"""Augmentation of a batch of images, seeded."""

import math

import tensorflow as tf

BLACK = -1.0


def crop_and_flip(images, seed, padding=4):
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
    shift = tf.cast(shift, tf.float32)
    mirror = _random_signs(images, seeds[1])
    one, zero = tf.ones_like(mirror), tf.zeros_like(mirror)
    width = tf.cast(tf.shape(images)[2], tf.float32)
    # x -> width - 1 - x where mirrored.
    offset = tf.where(mirror < 0, width - 1.0, 0.0) + shift[:, 0]
    return _warp(
        images, [mirror, zero, offset, zero, one, shift[:, 1]], "NEAREST"
    )


def face_affine(
    images, seed, rotation=10.0, translation=10 / 256, zoom=(0.9, 1.1)
):
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
    center_y, center_x = (size[0] - 1.0) / 2.0, (size[1] - 1.0) / 2.0
    # The warp takes the output's coordinates to the input's, about the
    # image's centre.
    a = scale * tf.cos(angle) * mirror
    b = -scale * tf.sin(angle)
    c = scale * tf.sin(angle) * mirror
    d = scale * tf.cos(angle)
    offset_x = center_x - a * center_x - b * center_y + shift[:, 0]
    offset_y = center_y - c * center_x - d * center_y + shift[:, 1]
    return _warp(images, [a, b, offset_x, c, d, offset_y], "BILINEAR")


def _split(seed, count):
    seed = tf.stack([tf.cast(each, tf.int64) for each in seed])
    return tf.unstack(tf.random.split(seed, count))


def _random_signs(images, seed):
    draws = tf.random.stateless_uniform((tf.shape(images)[0],), seed)
    return tf.where(draws < 0.5, -1.0, 1.0)


def _warp(images, rows, interpolation):
    zeros = tf.zeros_like(rows[0])
    return tf.ensure_shape(
        tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([*rows, zeros, zeros], axis=1),
            output_shape=tf.shape(images)[1:3],
            interpolation=interpolation,
            fill_mode="CONSTANT",
            fill_value=BLACK,
        ),
        images.shape,
    )
