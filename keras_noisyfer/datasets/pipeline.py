"""Checks of images and labels, and batches in the data contract."""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_noisyfer.arguments import one_line
from keras_noisyfer.labels import standardize_labels
from keras_noisyfer.tasks import ContinuousTask
from keras_noisyfer.typing import (
    ArrayLike,
    Augmentation,
    Labels,
    Shape,
    Tasks,
    Tensor,
)

# tf.data's own tuning gives the same rate, but stops for seconds at the end
# of every epoch that lasts longer than some seconds.
PARALLEL_CALLS = os.cpu_count()
PREFETCHED_BATCHES = 4
# Elements among which the next is drawn, where their number is not known.
SHUFFLE_BUFFER = 10_000


def warn_of_silence(
    labels: Labels, tasks: Tasks, annotators: Mapping[str, Sequence[str]]
) -> None:
    """Warns if a task has no label, or one of its annotators has given none."""
    for task in tasks:
        given = task.present(labels[task.name])
        given = np.asarray(given).any(axis=0).reshape(task.annotators, -1)
        silent = np.flatnonzero(~given.any(axis=1))
        if len(silent) == task.annotators:
            warnings.warn(
                f"Task {task.name!r} has no label to learn from. What is "
                "predicted for it means nothing: leave the task out",
                stacklevel=3,
            )
        elif len(silent):
            names = annotators.get(task.name) or map(
                str, range(task.annotators)
            )
            told = one_line(", ".join(np.array([*names])[silent]))
            warnings.warn(
                f"Annotators of task {task.name!r} without any label: {told}. "
                "Their streams learn nothing and yet count in the consensus "
                "that is predicted: leave their columns out",
                stacklevel=3,
            )


def make_batches(
    dataset: tf.data.Dataset,
    batch_size: int = 128,
    training: bool = False,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    decode: Callable[[Tensor], Tensor] | None = None,
) -> tf.data.Dataset:
    """Shuffles, decodes, batches, scales, augments and prefetches a data set of
    single `(image, labels, ...)`, images uint8 or float in [-1, 1]; what
    follows the image is batched as it is.

    The arguments are those of `LabelledImages.batches`; `decode` is a function
    of what stands for an image, such as its path, that returns the image:
    called after shuffling, of all elements at once, which are small then.
    """
    if augmentation is not None and not callable(augmentation):
        raise ValueError(
            "`augmentation` must be a function of images and a seed. "
            f"Received: {augmentation!r}"
        )
    size = dataset.cardinality().numpy()
    if training:
        buffer = size if size > 0 else SHUFFLE_BUFFER
        dataset = dataset.shuffle(buffer, seed=seed)
    # Where nothing is left over, batches of a known size: those Keras can
    # share out among processes.
    whole = size > 0 and size % batch_size == 0
    drop = whole or training and not 0 <= size < batch_size
    dataset = dataset.batch(batch_size, drop_remainder=drop)
    if decode is not None:
        dataset = _decode_batches(dataset, decode)
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)

    def prepare(element, batch_seed):
        images, *rest = element
        if images.dtype == tf.uint8:
            images = tf.cast(images, tf.float32) / 127.5 - 1.0
        if training and augmentation is not None:
            images = augmentation(images, [seed, batch_seed])
        return images, *rest

    dataset = tf.data.Dataset.zip(dataset, seeds)
    dataset = dataset.map(prepare, PARALLEL_CALLS).prefetch(PREFETCHED_BATCHES)
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _decode_batches(dataset, decode):
    # A call of tf.data for each image would cost half of decoding a small one.
    one = dataset.unbatch().map(lambda image, *rest: decode(image))
    return dataset.map(
        lambda images, *rest: (
            tf.map_fn(decode, images, fn_output_signature=one.element_spec),
            *rest,
        ),
        PARALLEL_CALLS,
    )


def check_target_shape(
    image_shape: Shape | None, given: Shape | None
) -> tuple[int, ...]:
    """The shape that images are scaled to, `(height, width, channels)`, by
    default `given`, their own, which is None where they are files. An array's
    channels are what they are."""
    shape = image_shape or given or ()
    shape = tuple(shape) if isinstance(shape, Iterable) else ()
    channels = (1, 3) if given is None else given[2:]
    if (
        len(shape) != 3
        or not all(isinstance(n, (int, np.integer)) for n in shape)
        or min(shape) < 1
        or shape[2] not in channels
    ):
        raise ValueError(
            "`image_shape` must be (height, width, channels) with "
            f"{' or '.join(map(str, channels))} channels. "
            f"Received: {image_shape}"
        )
    return shape


def check_images(images: ArrayLike) -> np.ndarray:
    """Images of shape `(n, height, width, channels)`, n >= 1, uint8 or float
    in [-1, 1], checked, as uint8 or float32."""
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(
            "`images` must have shape (n, height, width, channels) with "
            f"n >= 1. Received: shape={images.shape}"
        )
    if images.shape[1] in (1, 3) and min(images.shape[2:]) > 4:
        raise ValueError(
            "`images` must have their channels last, (n, height, width, "
            "channels), as of `np.moveaxis(images, 1, -1)`. "
            f"Received: shape={images.shape}"
        )
    if images.dtype == np.uint8:
        return images
    received = f"dtype={images.dtype}"
    if np.issubdtype(images.dtype, np.floating):
        low, high = images.min(), images.max()
        if low >= -1.0 and high <= 1.0:
            return images.astype("float32", copy=False)
        received = f"values from {low} to {high}"
    raise ValueError(
        "`images` must be uint8, or floating point in [-1, 1]. "
        f"Received: {received}"
    )


def check_labels(
    labels: Labels, tasks: Tasks, evaluation: bool = False
) -> dict[str, np.ndarray]:
    """Checks shape, dtype and every value of a data set's labels, and makes
    int32 or float32 arrays of them. With `evaluation` clean labels, without
    annotator axis, are accepted for a task of several annotators."""
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


def check_indices(indices: Any, count: int) -> None:
    """Raises `ValueError` unless indices, a mask or a slice are of at least
    one of `count` images."""
    try:
        chosen = np.arange(count)[indices]
    except (IndexError, TypeError, ValueError):
        chosen = np.empty(0)
    if chosen.ndim != 1 or not len(chosen):
        raise ValueError(
            f"`indices` must be of some of the {count} images: integers, a "
            f"mask or a slice. Received: {one_line(indices, 100)}"
        )


def check_annotators(
    annotators: Mapping[str, Sequence[str]] | None, tasks: Tasks
) -> dict[str, list[str]]:
    """Checks that each annotator of a task has a name of its own."""
    names = {name: list(who) for name, who in (annotators or {}).items()}
    counts = {task.name: task.annotators for task in tasks}
    for name, who in names.items():
        if len(set(who)) != counts.get(name) or len(set(who)) < len(who):
            raise ValueError(
                "`annotators` must be a dict by task name of as many different "
                f"names as the task has annotators, {counts}. "
                f"Received: {name!r}: {len(who)}"
            )
    return names
