"""From arrays to batches in the data contract."""

import math

import numpy as np
import tensorflow as tf

from keras_noisyfer.labels import standardize_labels
from keras_noisyfer.tasks import ContinuousTask, check_tasks

BLACK = -1.0


def make_dataset(
    images,
    labels,
    tasks,
    batch_size=128,
    training=False,
    augmentation=None,
    seed=0,
):
    """A `tf.data.Dataset` of batches `(image, labels)` from arrays.

    Checks every label and image before any training begins.

    Args:
        images: Array of shape `(n, height, width, channels)`: uint8, or
            float in [-1, 1].
        labels: Dict by task name of arrays, -1 or NaN where missing.
            Categorical: integers of shape `(n, annotators)` or `(n,)`;
            continuous: floats of shape `(n, annotators, dimensions)` or
            `(n, dimensions)`, in [-1, 1]. With `training=False` also clean
            labels, which have no annotator axis.
        tasks: Sequence of tasks.
        batch_size: Number of images a batch; at least 2 for a continuous
            task, whose concordance one element does not define.
        training: Whether to shuffle, to augment, and to drop a last batch
            that is smaller than the others.
        augmentation: `None`, or a function of a batch of images in [-1, 1]
            and a seed, such as `crop_and_flip` or `face_affine`.
        seed: Seed of the order and of the augmentation. The same seed gives
            the same batches, and other ones in each epoch; as everywhere in
            `tf.data` it counts together with the global seed, that of
            `keras.utils.set_random_seed`, when the data set is made.

    Returns:
        A `tf.data.Dataset` whose elements are float32 images in [-1, 1] and
        a dict of labels: int32 or float32.

    Raises:
        ValueError: if shapes or dtypes are wrong, a value is out of its
            range, a task is missing or unknown, or the numbers of images and
            labels differ.

    Example:

    >>> dataset = make_dataset(
    ...     images, {"expression": labels}, tasks, training=True
    ... )
    >>> model.fit(dataset, epochs=10)
    """
    tasks = check_tasks(tasks)
    images = check_images(images)
    labels = check_labels(labels, tasks, evaluation=not training)
    for name, array in labels.items():
        if len(array) != len(images):
            raise ValueError(
                f"`labels['{name}']` must have one entry an image: "
                f"{len(images)}. Received: {len(array)}"
            )
    minimum = 1 + any(isinstance(task, ContinuousTask) for task in tasks)
    if min(batch_size, len(images)) < minimum:
        raise ValueError(
            f"`batch_size` and the number of images must be at least "
            f"{minimum} for these tasks. Received: batch_size={batch_size}, "
            f"{len(images)} image(s)"
        )
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    return make_batches(
        dataset, batch_size, training, augmentation, seed, len(images)
    )


def make_batches(
    dataset,
    batch_size=128,
    training=False,
    augmentation=None,
    seed=0,
    shuffle_buffer=10_000,
):
    """Shuffles, batches, scales, augments and prefetches a data set.

    Args:
        dataset: A `tf.data.Dataset` of single `(image, labels)`; images
            uint8 or float in [-1, 1].
        batch_size: Number of images a batch.
        training: Whether to shuffle, to augment, and to drop a last batch
            that is smaller than the others.
        augmentation: As in `make_dataset`.
        seed: Seed of the order and of the augmentation.
        shuffle_buffer: Number of elements among which the next is drawn.

    Returns:
        A `tf.data.Dataset` of batches.
    """
    size = dataset.cardinality().numpy()
    if training:
        dataset = dataset.shuffle(shuffle_buffer, seed=seed)
    drop = training and not 0 <= size < batch_size
    dataset = dataset.batch(batch_size, drop_remainder=drop)
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)

    def prepare(element, batch_seed):
        images, labels = element
        if images.dtype == tf.uint8:
            images = tf.cast(images, tf.float32) / 127.5 - 1.0
        if training and augmentation is not None:
            images = augmentation(images, [seed, batch_seed])
        return images, labels

    dataset = tf.data.Dataset.zip(dataset, seeds)
    return dataset.map(prepare, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def check_images(images):
    """Checks an array of images.

    Args:
        images: Array of shape `(n, height, width, channels)`: uint8, or
            float in [-1, 1].

    Returns:
        The images as uint8 or float32.

    Raises:
        ValueError: if the rank, the dtype or a value is wrong, or there is
            no image.
    """
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(
            "`images` must have shape (n, height, width, channels) with "
            f"n >= 1. Received: shape={images.shape}"
        )
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            "`images` must be uint8, or floating point in [-1, 1]. "
            f"Received: dtype={images.dtype}"
        )
    low, high = images.min(), images.max()
    if not (low >= -1.0 and high <= 1.0):
        raise ValueError(
            "`images` must be uint8, or floating point in [-1, 1]. "
            f"Received: values from {low} to {high}"
        )
    return images.astype("float32", copy=False)


def check_labels(labels, tasks, evaluation=False):
    """Checks shape, dtype and every value of a data set's labels.

    Args:
        labels: Dict by task name of arrays.
        tasks: Sequence of tasks.
        evaluation: Whether clean labels, without annotator axis, are
            accepted for a task of several annotators.

    Returns:
        The labels as int32 or float32 arrays.

    Raises:
        ValueError: if a task is missing or unknown, or a label has a wrong
            shape, dtype or value.
    """
    if isinstance(labels, dict):
        labels = {name: np.asarray(array) for name, array in labels.items()}
    standardize_labels(tasks, labels, evaluation)
    checked = {}
    for task in tasks:
        array = labels[task.name]
        task.check_values(array)
        continuous = isinstance(task, ContinuousTask)
        checked[task.name] = array.astype(
            "float32" if continuous else "int32", copy=False
        )
    return checked


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
