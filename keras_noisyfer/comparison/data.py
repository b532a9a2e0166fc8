"""The data of a comparison: training, noisy validation and clean test images.

A case is a data set with its noise. The validation images are further
training images with labels as noisy as those: what may be decided by them,
anyone can decide. Clean labels are read by the test alone.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_noisyfer import noise
from keras_noisyfer.command_line.tables import load_table_data
from keras_noisyfer.datasets.augmentation import crop_and_flip, face_affine
from keras_noisyfer.datasets.cifar10 import load_cifar10
from keras_noisyfer.datasets.faces.affectnet import load_affectnet_base
from keras_noisyfer.datasets.faces.raf import load_raf_base
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.synthetic_faces import (
    EXPRESSIONS,
    load_synthetic_faces,
)
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask


@dataclasses.dataclass(frozen=True)
class Case:
    """Data of one cell.

    Attributes:
        train: `LabelledImages` with the annotators' labels.
        validation: Others with labels of the same annotators.
        test: Others, whose labels are clean.
        image_shape: `(height, width, channels)` that images are scaled to.
        augmentation: See `LabelledImages.batches`.
    """

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    image_shape: tuple
    augmentation: Callable | None


def _cifar10(profile, seed, **data):
    train = load_cifar10(split="train", seed=seed, **data)
    return train, load_cifar10(split="test", **data), crop_and_flip


def _raf_base(profile, seed, **data):
    data = {"image_size": profile["image_size"], **data}
    train = load_raf_base(split="train", **data)
    return train, load_raf_base(split="test", **data), face_affine


def _affectnet_base(profile, seed, **data):
    data = {"image_size": profile["image_size"], **data}
    train = load_affectnet_base(split="train", **data)
    test = load_affectnet_base(split="validation", **data)
    return train, test, face_affine


def _synthetic_faces(profile, seed):
    faces = load_synthetic_faces(
        profile["train_size"] + profile["validation_size"],
        profile["test_size"],
        image_size=profile["image_size"],
    )
    splits = []
    for split in ("train", "test"):
        images = ImageArray(faces[split]["image"])
        clean = {task.name: faces[split][task.name] for task in FACE_TASKS}
        splits.append(LabelledImages(images, clean, FACE_TASKS, clean))
    train, test = splits
    return train.with_noise(FACE_ANNOTATORS, seed), test, face_affine


def _csv(profile, seed, **data):
    train, test = load_table_data(data, seed)
    if test is None:
        raise ValueError(
            "A comparison needs test images: --test-csv or --test-where. "
            "Received: neither"
        )
    # What an annotator said is not the truth, even if there is no other.
    labels = {
        task.name: test.clean[task.name]
        if task.name in test.clean
        else np.full_like(test.labels[task.name], float(task.missing_value))
        for task in test.tasks
    }
    return train, test.with_labels(labels), face_affine


FACE_TASKS = [
    CategoricalTask("expression", class_names=EXPRESSIONS),
    ContinuousTask("affect", dimensions=("valence", "arousal")),
]
# One of each, as the machine labels of RAF-base.
FACE_ANNOTATORS = {
    "expression": [noise.CategoricalAnnotator(rate=0.4)],
    "affect": [
        noise.ContinuousAnnotator(bias=(0.15, -0.1), standard_deviation=0.3)
    ],
}
CASES = {
    "cifar10": _cifar10,
    "raf-base": _raf_base,
    "affectnet-base": _affectnet_base,
    "synthetic-faces": _synthetic_faces,
    "csv": _csv,
}
# The argument of each case's loader that says where the data is.
DATA_ARGUMENTS = {
    "cifar10": "path",
    "raf-base": "data_dir",
    "affectnet-base": "data_dir",
    "synthetic-faces": None,
}


def load_case(
    case: str,
    profile: Mapping[str, Any],
    seed: int,
    tasks: Sequence[str] | None = None,
    annotators: int | None = None,
    **data: Any,
) -> Case:
    """Loads the data of a cell.

    Args:
        case: A key of `CASES`.
        profile: Dict of a `Profile`.
        seed: Seed of the noise.
        tasks: Names of the tasks that are kept; `None`: all.
        annotators: How many annotators are kept, the first ones; `None`:
            all.
        **data: Arguments of the case's loader, where its files are.

    Returns:
        A `Case`.

    Raises:
        ValueError: if files are missing or wrong, or there are fewer images
            than the profile asks for.
    """
    train, test, augmentation = CASES[case](profile, seed, **data)
    train = _keep(train, tasks, annotators)
    test = _keep(test.clean_labels(), tasks, None)
    sizes = [profile["train_size"], profile["validation_size"]]
    if sizes[0] is None:
        sizes[0] = max(1, len(train) - sizes[1])
    if sum(sizes) > len(train):
        raise ValueError(
            f"There must be {sizes[0]} training and {sizes[1]} validation "
            f"images for these settings. Received: {len(train)} images"
        )
    # The same images whatever the seed, which is that of their noise.
    train, validation = train.split(sizes)
    if profile["test_size"] is not None and profile["test_size"] < len(test):
        (test,) = test.split([profile["test_size"]])
    for part, data in (("test", test), ("validation", validation)):
        if not data.labelled_tasks:
            kind = "clean" if part == "test" else "noisy"
            raise ValueError(
                f"A comparison needs {kind} labels of the {part} images. "
                "Received: none"
            )
    size = profile["image_size"]
    return Case(train, validation, test, (size, size, 3), augmentation)


def _keep(data, names, annotators):
    tasks = [t for t in data.tasks if names is None or t.name in names]
    labels = {}
    for task in tasks:
        given = data.labels[task.name]
        if annotators is not None and isinstance(task, CategoricalTask):
            given = given[:, :annotators]
        labels[task.name] = given
    return data.with_labels(labels)
