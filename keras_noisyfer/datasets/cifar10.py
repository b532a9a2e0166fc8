"""CIFAR-10 with true labels, or those of the paper's simulated annotators."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds

from keras_noisyfer import noise
from keras_noisyfer.arguments import check_choice, check_number, one_line
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.files import read_npz
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Annotator, PathLike

CLASS_NAMES = tuple(
    "airplane automobile bird cat deer dog frog horse ship truck".split()
)
IMAGE_SHAPE = (32, 32, 3)
SPLITS = ("train", "test")
# As many as CIFAR-10 has, with their labels; a file that says it has more
# is no such file, and would fill the memory.
MAX_IMAGES = 60_000
_MAX_BYTES = MAX_IMAGES * (np.prod(IMAGE_SHAPE).item() + 8) + 4096


def load_cifar10(
    path: PathLike | None = None,
    split: str = "train",
    size: int | None = None,
    annotators: Sequence[Annotator] | None = noise.PAPER_ANNOTATORS,
    seed: int = 0,
) -> LabelledImages:
    """Loads CIFAR-10: small photographs of ten kinds of object.

    Images are in the order of the original batches, whatever they are read
    from.

    Args:
        path: `.npz` file with the arrays `x_train`, `y_train`, `x_test` and
            `y_test`: images, uint8, shape `(n, 32, 32, 3)`, and class ids,
            integers, shape `(n,)` or `(n, 1)`; n is at most 60,000. By
            default TensorFlow Datasets downloads the data once and keeps
            it.
        split: `"train"`: labels of simulated annotators. `"test"`: true
            labels, for tasks of as many annotators.
        size: Number of images, the first of those there are; their labels
            are the same whatever the size. By default all of them.
        annotators: Sequence of `keras_noisyfer.noise.CategoricalAnnotator`s,
            by default the paper's three, who replace 20, 30 and 40 % of the
            labels by one of the ten classes. `None`: the true labels are
            the labels, of one annotator.
        seed: Non-negative integer, of the annotators' mistakes.

    Returns:
        A `LabelledImages` with the categorical task `object`, whose clean
        labels are the true ones, and names such as `train_00000`.

    Raises:
        ValueError: if the file is missing, is not such a file or cannot be
            read, the download fails, there are fewer images than asked for,
            or an argument is out of its range.

    Example:

    >>> train = load_cifar10("cifar10.npz", "train", size=5000)
    >>> train.labels["object"].shape
    (5000, 3)

    Reference:

    - [Krizhevsky, 2009](https://www.cs.toronto.edu/~kriz/cifar.html)
    - [Zhang et al., 2021, section 5.1](https://arxiv.org/abs/2010.09849)
    """
    check_choice("split", split, SPLITS)
    check_number("seed", seed, 0, integer=True)
    arrays = _download(split) if path is None else _read(path, split)
    images, labels = _check(split, *arrays)
    names = [f"{split}_{index:05d}" for index in range(len(images))]
    streams = 1 if annotators is None else len(annotators)
    task = CategoricalTask("object", None, streams, CLASS_NAMES)
    clean = {"object": labels}
    data = LabelledImages(ImageArray(images, names), clean, [task], clean)
    if split == "train" and annotators is not None:
        data = data.with_noise({"object": annotators}, seed)
    return take_first(data, size)


def take_first(data: LabelledImages, size: int | None) -> LabelledImages:
    """The first `size` images of a data set, which has to have as many."""
    if size is None:
        return data
    check_number("size", size, 1, maximum=len(data), integer=True)
    return data.take(size)


def _download(split):
    try:
        data = tfds.as_numpy(tfds.load("cifar10", split=split, batch_size=-1))
    except (ImportError, OSError) as error:
        raise ValueError(
            "CIFAR-10 could not be downloaded; give `path`, an .npz file. "
            f"Received: {one_line(error)}"
        ) from error
    # TFDS shuffles; "train_16399" was the original batches' 16399th image.
    order = np.argsort([int(each.split(b"_")[1]) for each in data["id"]])
    return data["image"][order], data["label"][order]


def _read(path, split):
    if not os.path.isfile(path):
        raise ValueError(
            f"`path` must be an .npz file. Received: {path}, where there is "
            "no file"
        )
    required = [f"{kind}_{each}" for each in SPLITS for kind in "xy"]
    names = [f"{kind}_{split}" for kind in "xy"]
    arrays = read_npz(path, _MAX_BYTES, names, required)
    return [arrays[name] for name in names]


def _check(split, images, labels):
    is_image = images.dtype == np.uint8 and images.shape[1:] == IMAGE_SHAPE
    if not is_image or len(images) == 0:
        raise ValueError(
            f"`x_{split}` must be uint8 of shape (n, 32, 32, 3) with n >= 1. "
            f"Received: {images.dtype} of shape {images.shape}"
        )
    count, kind = len(images), labels.dtype.kind
    if kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise ValueError(
            f"`y_{split}` must be integers of shape ({count},) or "
            f"({count}, 1), one an image. "
            f"Received: {labels.dtype} of shape {labels.shape}"
        )
    labels = labels.reshape(-1)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(CLASS_NAMES)))
    if len(wrong):
        raise ValueError(
            f"`y_{split}` must be class ids from 0 to {len(CLASS_NAMES) - 1}. "
            f"Received: {labels[wrong[0]]} at index {wrong[0]}"
        )
    return images, labels.astype("int32")
