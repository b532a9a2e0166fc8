"""A data set of arrays."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.typing import ArrayLike, Labels, Tasks


def make_dataset(
    images: ArrayLike,
    labels: Labels,
    tasks: Tasks,
    batch_size: int = 128,
    training: bool = False,
    **options: Any,
) -> tf.data.Dataset:
    """A `tf.data.Dataset` of batches `(image, labels)` from arrays.

    Checks every label and image before any training begins.

    Args:
        images: Array of shape `(n, height, width, channels)`: uint8, or
            float in [-1, 1].
        labels: Dict by task name of arrays, as of `LabelledImages`. With
            `training=False` also clean labels, without an annotator axis.
        tasks: Sequence of tasks.
        batch_size, training: See `LabelledImages.batches`.
        **options: `augmentation`, `seed` and `with_index`.

    Returns:
        A `tf.data.Dataset`, as of `LabelledImages.batches`.

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
    data = LabelledImages(np.asarray(images), labels, tasks)
    return data.batches(None, batch_size, training, **options)
