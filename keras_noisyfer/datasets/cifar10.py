"""CIFAR-10 as arrays, downloaded or from a file."""

import os
import zipfile
import zlib

import numpy as np
import tensorflow_datasets as tfds

from keras_noisyfer.datasets.synthetic_faces import check_integer

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
IMAGE_SHAPE = (32, 32, 3)


def load_cifar10(path=None, train_size=None, test_size=None):
    """Loads CIFAR-10: small photographs of ten kinds of object.

    Args:
        path: `.npz` file with the arrays `x_train`, `y_train`, `x_test` and
            `y_test`: images, uint8, shape `(n, 32, 32, 3)`, and class ids,
            integers, shape `(n,)` or `(n, 1)`. By default TensorFlow
            Datasets downloads the data once and keeps it.
        train_size: Number of training images, the first of those there
            are. By default all of them.
        test_size: Number of test images, likewise.

    Returns:
        A dict of NumPy arrays: `x_train` and `x_test`, uint8, shape
        `(n, 32, 32, 3)`; `y_train` and `y_test`, int32, shape `(n,)`,
        indices into `CLASS_NAMES`.

    Raises:
        ValueError: if the file is missing, is not such a file or cannot be
            read, the download fails, or there are fewer images than asked
            for.

    Example:

    >>> data = load_cifar10("cifar10.npz", train_size=5000)
    >>> data["x_train"].shape
    (5000, 32, 32, 3)

    Reference:

    - [Krizhevsky, 2009](https://www.cs.toronto.edu/~kriz/cifar.html)
    """
    sizes = {"train": train_size, "test": test_size}
    for split, size in sizes.items():
        if size is not None:
            check_integer(f"{split}_size", size, 1)
    arrays = _download() if path is None else _read(path)
    data = {}
    for split, size in sizes.items():
        images, labels = _check(
            split, arrays[f"x_{split}"], arrays[f"y_{split}"]
        )
        if size is not None and size > len(images):
            raise ValueError(
                f"`{split}_size` must be at most {len(images)}, the number "
                f"of images there are. Received: {size}"
            )
        data[f"x_{split}"] = images[:size]
        data[f"y_{split}"] = labels[:size].astype("int32")
    return data


def _download():
    try:
        train, test = tfds.as_numpy(
            tfds.load("cifar10", split=["train", "test"], batch_size=-1)
        )
    except (ImportError, OSError) as error:
        raise ValueError(
            "CIFAR-10 could not be downloaded; give `path`, an .npz file. "
            f"Received: {_one_line(error)}"
        ) from error
    return {
        "x_train": train["image"],
        "y_train": train["label"],
        "x_test": test["image"],
        "y_test": test["label"],
    }


def _read(path):
    if not os.path.isfile(path):
        raise ValueError(
            f"`path` must be an .npz file. Received: {path}, where there is "
            "no file"
        )
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"`path` must be an .npz file. Received: {path}, which is in "
            "another format"
        )
    names = [f"{kind}_{split}" for split in ("train", "test") for kind in "xy"]
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file]
            arrays = {name: file[name] for name in names if name in file}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"`path` must be an .npz file of plain arrays. Received: {path}: "
            f"{_one_line(error)}"
        ) from error
    if missing:
        raise ValueError(
            f"`path` must hold the arrays {', '.join(names)}. "
            f"Received: {path} without {', '.join(missing)}"
        )
    return arrays


def _check(split, images, labels):
    if (
        images.dtype != np.uint8
        or images.shape[1:] != IMAGE_SHAPE
        or len(images) == 0
    ):
        raise ValueError(
            f"`x_{split}` must be uint8 of shape (n, 32, 32, 3) with n >= 1. "
            f"Received: {images.dtype} of shape {images.shape}"
        )
    count = len(images)
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape not in (
        (count,),
        (count, 1),
    ):
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
    return images, labels


def _one_line(error):
    return " ".join(str(error).split())
