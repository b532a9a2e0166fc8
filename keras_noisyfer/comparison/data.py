"""The data of an experiment: training, noisy validation and clean test images.

A case is a data set with its noise. The validation images are further
training images with labels as noisy as those: what may be decided by them,
anyone can decide. Clean labels are read by the test alone.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_noisyfer import noise
from keras_noisyfer.arguments import register
from keras_noisyfer.comparison.table_data import load_table_data
from keras_noisyfer.datasets.augmentation import crop_and_flip, face_affine
from keras_noisyfer.datasets.cifar10 import load_cifar10
from keras_noisyfer.datasets.cifar10n import load_cifar10n
from keras_noisyfer.datasets.faces.affectnet import load_affectnet
from keras_noisyfer.datasets.faces.raf import load_raf
from keras_noisyfer.datasets.ferplus import load_ferplus
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.synthetic_faces import load_synthetic_faces
from keras_noisyfer.tasks import CategoricalTask


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


# One of each, as the machine labels of RAF-base.
FACE_ANNOTATORS = {
    "expression": [noise.CategoricalAnnotator(rate=0.4)],
    "affect": [
        noise.ContinuousAnnotator(bias=(0.15, -0.1), standard_deviation=0.3)
    ],
}
CROWD_ANNOTATORS = {
    **FACE_ANNOTATORS,
    "expression": [
        noise.CategoricalAnnotator(rate=rate) for rate in (0.3, 0.4, 0.5)
    ],
}


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set that can be compared on; see `dataset`."""

    title: str
    load: Callable
    argument: str | None
    augmentation: Callable


DATASETS: dict[str, Dataset] = {}


def dataset(
    name: str,
    title: str,
    argument: str | None = None,
    augmentation: Callable = face_affine,
) -> Callable:
    """Registers a data set, as the decorator of what loads it.

    Args:
        name: What it is called in files and on the command line.
        title: Its name in tables.
        argument: The argument of the function that says where its files are.
        augmentation: See `LabelledImages.batches`.

    Returns:
        A decorator of a function `(split, profile, seed, **where)`: `split`
        is `"train"` (with labels as noisy as they come) or `"test"` (with
        clean labels), `profile` the dict of a `Profile`, `seed` that of noise
        that is drawn. It returns `LabelledImages`.

    Raises:
        ValueError: if the name is that of another function.

    Example:

    >>> @dataset("stripes", "Stripes", argument="path")
    ... def stripes(split, profile, seed, path):
    ...     return from_csv(f"{path}/{split}.csv", path, TASKS)
    """

    def decorate(load):
        entry = Dataset(title, load, argument, augmentation)
        register("name", name, entry, "load", DATASETS)
        return load

    return decorate


@dataset("cifar10", "CIFAR-10", "path", crop_and_flip)
def _cifar10(split, profile, seed, path=None):
    return load_cifar10(path, split, seed=seed)


@dataset("cifar10n", "CIFAR-10N", "labels_path", crop_and_flip)
def _cifar10n(split, profile, seed, labels_path, path=None):
    return load_cifar10n(labels_path, split, path)


@dataset("ferplus", "FER+, sampled votes", "data_dir")
def _ferplus(split, profile, seed, data_dir):
    split = "validation" if split == "test" else split
    return load_ferplus(data_dir, split, seed=seed)


@dataset("raf-base", "RAF-base", "data_dir")
def _raf_base(split, profile, seed, data_dir, **options):
    return _base(load_raf, split, profile, data_dir, **options)


@dataset("affectnet-base", "AffectNet-base", "data_dir")
def _affectnet_base(split, profile, seed, data_dir, **options):
    names = {"train": "train", "test": "validation"}
    return _base(load_affectnet, names[split], profile, data_dir, **options)


def _base(load, split, profile, data_dir, machine_labels=None, **options):
    """With the labels that the authors publish, or those of `relabel`."""
    if machine_labels is not None:
        options["machine"] = "people"
    options = {"image_size": profile["image_size"], **options}
    data = load(data_dir, split, base=True, **options)
    if machine_labels is None or split != "train":
        return data
    on_error = data.report.on_error
    return data.with_machine_labels(machine_labels, on_error=on_error)


@dataset("synthetic-faces", "drawn faces")
def _synthetic_faces(split, profile, seed, annotators=FACE_ANNOTATORS):
    data = load_synthetic_faces(
        None,
        split,
        profile["train_size"] + profile["validation_size"],
        profile["test_size"],
        image_size=profile["image_size"],
    )
    return data.with_noise(annotators, seed) if split == "train" else data


@dataset("crowd-faces", "drawn faces, three annotators")
def _crowd_faces(split, profile, seed):
    return _synthetic_faces(split, profile, seed, CROWD_ANNOTATORS)


@dataset("csv", "your data", "csv")
def _csv(split, profile, seed, **options):
    """A table of one's own; the options are those of `load_table_data`."""
    options = {
        name: each.items() if isinstance(each, Mapping) else each
        for name, each in options.items()
    }
    train, test = load_table_data(options, seed)
    if split == "train":
        return train
    if test is None:
        raise ValueError(
            "An experiment needs test images: `test_csv` or `test_where`. "
            "Received: neither"
        )
    return only_clean(test)


def only_clean(data: LabelledImages) -> LabelledImages:
    """The same images with their clean labels alone, of which there may be
    none: what an annotator said is not the truth, even if there is no other."""
    labels = {
        task.name: data.clean[task.name]
        if task.name in data.clean
        else np.full_like(data.labels[task.name], float(task.missing_value))
        for task in data.tasks
    }
    return data.with_labels(labels, annotators={}).clean_labels()


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
        case: A key of `DATASETS`.
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
    check_loader_options(case, data)
    known = DATASETS[case]
    train = known.load("train", profile, seed, **data)
    train = keep_labels(train, tasks, annotators)
    test = known.load("test", profile, seed, **data)
    test = keep_labels(test.clean_labels(), tasks, None)
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
                f"An experiment needs {kind} labels of the {part} images. "
                "Received: none"
            )
    size = profile["image_size"]
    return Case(train, validation, test, (size, size, 3), known.augmentation)


def check_loader_options(case: str, data: Mapping[str, Any]) -> None:
    """Raises a `ValueError` unless a data set's loader takes such arguments."""
    try:
        inspect.signature(DATASETS[case].load).bind("", {}, 0, **data)
    except TypeError as error:
        raise ValueError(
            f"The data set {case!r} must be given the arguments of its loader: "
            f"{error}. Received: {', '.join(data) or 'nothing'}"
        ) from error


def keep_labels(
    data: LabelledImages, names: Sequence[str] | None, annotators: int | None
) -> LabelledImages:
    """The same images with the labels of a setting alone, see `Setting`."""
    known = [task.name for task in data.tasks]
    if names is not None and (not names or set(names) - set(known)):
        raise ValueError(
            f"`tasks` may only have {', '.join(known)}. Received: {names}"
        )
    most = max(task.annotators for task in data.tasks)
    if annotators is not None and not 1 <= annotators <= most:
        raise ValueError(
            f"`annotators` must be from 1 to {most}. Received: {annotators}"
        )
    tasks = [t for t in data.tasks if names is None or t.name in names]
    labels = {}
    for task in tasks:
        given = data.labels[task.name]
        if annotators is not None and isinstance(task, CategoricalTask):
            given = given[:, :annotators]
        labels[task.name] = given
    return data.with_labels(labels)
