"""A training run from the command line: its flags, results and pictures."""

import argparse
import pathlib
import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_noisyfer import noise
from keras_noisyfer.arguments import AUTO, number_flag
from keras_noisyfer.checkpoints import ResumeTraining
from keras_noisyfer.comparison.methods import METHODS
from keras_noisyfer.comparison.training import train_method
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ON_ERROR
from keras_noisyfer.networks.network import IMAGE_SIZES
from keras_noisyfer.numerical_fault import NumericalFault
from keras_noisyfer.plots import (
    plot_confusion_matrix,
    plot_training_curves,
)
from keras_noisyfer.results import prepare_output_dir, write_json
from keras_noisyfer.serving.export import export
from keras_noisyfer.serving.model_card import ModelCard
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Augmentation

TEST_BATCH_SIZE = 256


def recipe_parser(description: str) -> argparse.ArgumentParser:
    """An `argparse` parser as all recipes have it, without flags yet."""
    return argparse.ArgumentParser(
        description=description,
        usage="%(prog)s [flags]",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )


def training_parser(
    description: str, output_dir: str, **defaults: Any
) -> argparse.ArgumentParser:
    """An `argparse` parser with the flags of a training run.

    Args:
        description: What the recipe does, one line.
        output_dir: Default folder of the results.
        **defaults: Other defaults of the flags, by name with underscores.

    Returns:
        An `argparse.ArgumentParser`.
    """
    parser = recipe_parser(description)
    count = number_flag(int, minimum=0)
    positive = number_flag(int, minimum=1)
    weight = number_flag(float, minimum=0, words=(AUTO,))
    more = number_flag(float, above=0)
    for flag, kind, default, text in (
        ("width", more, 0.25, "multiplier of all filters and hidden units"),
        ("train-size", count, 0, "the first so many training images; 0: all"),
        ("test-size", count, 0, "the first so many test images; 0: all"),
        ("epochs", positive, 20, "number of epochs"),
        ("batch-size", positive, 128, "number of images a batch"),
        ("learning-rate", more, 1e-3, "of Adam"),
        (
            "lambda-joint",
            weight,
            0.4,
            "weight of the joint-distribution loss, or auto",
        ),
        (
            "gamma",
            weight,
            1.0,
            "weight of continuous tasks' losses, or auto",
        ),
        (
            "warmup-epochs",
            count,
            5,
            "first epochs of plain training, before the joint loss",
        ),
        (
            "seed",
            number_flag(int, minimum=0, maximum=2**32 - 1),
            0,
            "of noise, initial weights, order and augmentation",
        ),
    ):
        parser.add_argument(f"--{flag}", type=kind, default=default, help=text)
    parser.add_argument(
        "--image-size",
        type=int,
        choices=IMAGE_SIZES,
        default=64,
        help="height and width that images are scaled to",
    )
    parser.add_argument(
        "--method", choices=METHODS, default="proposed", help="what to train"
    )
    parser.add_argument(
        "--no-batch-normalization",
        action="store_true",
        help="leave batch normalisation out of the encoder, as the paper",
    )
    parser.add_argument(
        "--output-dir",
        default=output_dir,
        help="folder of the results; those of an earlier run are replaced",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep the state of training in the folder of the results, and "
        "go on from the one that an interrupted run has left there",
    )
    parser.set_defaults(**defaults)
    return parser


def add_face_flags(
    parser: argparse.ArgumentParser, machine: str, machine_labels: str
) -> None:
    """Adds the flags of RAF-DB and AffectNet.

    Args:
        parser: What `training_parser` returned.
        machine: Name of the authors' model.
        machine_labels: The files with machine labels, for the help.
    """
    add = parser.add_argument
    add("--data-dir", required=True, help="folder of the data set")
    add(
        "--machine",
        metavar="NAME",
        default=machine,
        help="the model whose labels to train on, as their files are named: "
        "the authors', or the `name` that was given to `relabel`",
    )
    add(
        "--machine-labels-dir",
        help=f"folder with {machine_labels}; by default looked for in the "
        "folder of the data set",
    )
    add(
        "--alignment",
        choices=("eyes", "given"),
        default="eyes",
        help="cut faces from the original images by their eyes, or take "
        "what the data set comes with",
    )
    add(
        "--cache-dir",
        help="folder of the prepared images; by default that of TensorFlow "
        "Datasets",
    )
    add(
        "--on-error",
        choices=ON_ERROR,
        default="raise",
        help="stop at the first bad file, or leave it out and count it",
    )


def face_options(flags: argparse.Namespace) -> dict[str, Any]:
    """The loader's options in the flags of `add_face_flags`."""
    return {
        "machine": flags.machine,
        "machine_labels_dir": flags.machine_labels_dir,
        "image_size": flags.image_size,
        "alignment": flags.alignment,
        "cache_dir": flags.cache_dir,
        "on_error": flags.on_error,
    }


def parse_flags(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Parses the flags and proves that the results can be written.

    Args:
        parser: What `training_parser` returned.
        arguments: List of strings, or None for those of the command line.

    Returns:
        The flags. Wrong ones end the program with one line.
    """
    flags = parser.parse_args(arguments)
    if flags.method == "proposed" and flags.warmup_epochs >= flags.epochs:
        parser.error(
            "--warmup-epochs must be less than --epochs for the method "
            f"'proposed'. Received: {flags.warmup_epochs} of {flags.epochs}"
        )
    if flags.resume and METHODS[flags.method].pretrained:
        parser.error(
            f"--resume cannot be given for the method '{flags.method}', whose "
            "solver's state is not saved"
        )
    try:
        prepare_output_dir(flags.output_dir)
    except ValueError as error:
        parser.error(f"argument --output-dir: {error}")
    return flags


def run_recipe(run: Callable[[Any], Any], flags: argparse.Namespace) -> None:
    """Calls `run(flags)`; what the user can mend, such as a `ValueError`,
    ends the program with one line."""
    try:
        run(flags)
    except (ValueError, OSError, NumericalFault) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        # As a shell reports a program that was interrupted.
        sys.exit(130)


def train_and_report(
    flags: argparse.Namespace,
    train: LabelledImages,
    test: LabelledImages | None = None,
    augmentation: Augmentation | None = None,
    faces: bool = True,
) -> dict[str, Any]:
    """Trains a method, prints what came out and writes it to a folder.

    Writes `history.csv` (a line an epoch, as training goes on), with
    `--resume` the state of training `training.npz`,
    `results.json`, `model.keras`, the SavedModel of the encoder
    `saved_model/1`, and with test data `training_curves.png` and a
    `confusion_matrix_<task>.png`.

    Args:
        flags: What `parse_flags` returned.
        train: `LabelledImages` to train on.
        test: `LabelledImages` with clean labels, followed during training;
            nothing is decided by it. Or None.
        augmentation: See `LabelledImages.batches`.
        faces: See `ModelCard`.

    Returns:
        Dict of what `results.json` holds.
    """
    output = pathlib.Path(flags.output_dir)
    train = train.take(flags.train_size) if flags.train_size else train
    realised = _print_labels(train)
    shape = (flags.image_size, flags.image_size, 3)
    test_data = None
    if test is not None:
        test = test.take(flags.test_size) if flags.test_size else test
        test_data = test.batches(shape, TEST_BATCH_SIZE)

    print(METHODS[flags.method].title, flush=True)
    history_file = output / "history.csv"
    callbacks = [keras.callbacks.CSVLogger(history_file, append=flags.resume)]
    if flags.resume:
        state = output / "training.npz"
        told = _describe_run(flags, train)
        callbacks.append(ResumeTraining(state, settings=told))
    model, history = train_method(
        flags.method,
        train,
        test_data,
        image_shape=shape,
        epochs=flags.epochs,
        batch_size=flags.batch_size,
        learning_rate=flags.learning_rate,
        augmentation=augmentation,
        seed=flags.seed,
        callbacks=callbacks,
        width=flags.width,
        batch_normalization=not flags.no_batch_normalization,
        lambda_joint=flags.lambda_joint,
        gamma=flags.gamma,
        warmup_epochs=flags.warmup_epochs,
    )
    if flags.resume:
        # Epochs whose line was written and whose state was not are in twice.
        rows = pd.DataFrame(history.history).rename_axis("epoch")
        rows.sort_index(axis=1).to_csv(history_file)
    model.save(output / "model.keras")
    settings = vars(flags).copy()
    del settings["resume"]
    results = {
        "method": settings.pop("method"),
        "seed": settings.pop("seed"),
        "settings": settings,
        "images": {"train": len(train), "test": len(test or ())},
        "classes": {
            task.name: task.class_names
            for task in train.tasks
            if isinstance(task, CategoricalTask)
        },
        "rejected": dict(train.report.counts),
        "realised_noise": realised,
        "test": {},
        "history": history.history,
    }
    if test is not None:
        results["test"] = _last_epoch(history.history, test)
        _write_figures(output, model, flags.method, history, test, test_data)
        print(
            f"{len(test):,} clean test images after the last epoch (nothing "
            "was chosen by it):"
        )
        for name, value in results["test"].items():
            print(f"  {name} {value:.4f}")
    card = ModelCard(
        title=METHODS[flags.method].title,
        data=f"{len(train):,} images with noisy labels.",
        realised_noise=realised,
        settings=settings,
        metrics=results["test"],
        selection_rule="Test images with clean labels, after the last epoch; "
        "nothing was chosen by them.",
        faces=faces,
    )
    export(model, output / "saved_model" / "1", card=card, overwrite=True)
    write_json(output / "results.json", results)
    print(f"History, results, pictures and model: {output}")
    return results


def _describe_run(flags, train):
    """What must be the same when a run goes on, beside its model."""
    settings = vars(flags).copy()
    for name in ("epochs", "output_dir", "resume"):
        del settings[name]
    arrays = [np.ascontiguousarray(each) for each in train.labels.values()]
    return {**settings, "labels": [zlib.crc32(each) for each in arrays]}


def _print_labels(train):
    print(train.report)
    for task in train.tasks:
        if isinstance(task, CategoricalTask):
            labels = train.labels[task.name]
            counts = np.bincount(labels[labels >= 0], None, task.num_classes)
            names = task.class_names or range(task.num_classes)
            pairs = zip(names, counts, strict=True)
            print(
                f"{task.name}, labels of each class: "
                + ", ".join(f"{name} {count:,}" for name, count in pairs)
            )
    realised = {}
    for name, clean in train.clean.items():
        realised[name] = noise.realised_noise(train.labels[name], clean)
        print(noise.format_realised_noise(name, realised[name]))
    return realised


def _last_epoch(history, test):
    names = [f"val_{task.name}_" for task in test.labelled_tasks]
    return {
        key.removeprefix("val_"): values[-1]
        for key, values in history.items()
        if key.startswith(tuple(names)) and not key.endswith("_loss")
    }


def _write_figures(output, model, method, history, test, test_data):
    predictions = model.predict(test_data, verbose=0)
    for task in test.labelled_tasks:
        if not isinstance(task, CategoricalTask):
            continue
        labels = test.labels[task.name].reshape(len(test), -1)[:, 0]
        known = labels >= 0
        names = task.class_names or range(task.num_classes)
        predicted = predictions[task.name].argmax(axis=-1)
        figure = plot_confusion_matrix(
            labels[known], predicted[known], list(map(str, names))
        )
        path = output / f"confusion_matrix_{task.name}.png"
        figure.savefig(path, dpi=120)
    metric = _main_metric(test)
    if metric is not None:
        histories = {METHODS[method].title: history.history}
        figure = plot_training_curves(
            histories, f"val_{metric}", f"test {metric}"
        )
        figure.savefig(output / "training_curves.png", dpi=120)


def _main_metric(test):
    """Of the first task with classes, or else the first of all."""
    names = {
        isinstance(task, CategoricalTask): task.name
        for task in reversed(test.labelled_tasks)
    }
    if True in names:
        return f"{names[True]}_accuracy"
    return f"{names[False]}_ccc" if names else None
