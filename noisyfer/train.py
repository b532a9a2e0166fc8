"""`noisyfer train`: one training run, its results and pictures."""

import pathlib
import sys
import zlib

import keras
import numpy as np
import pandas as pd

from keras_noisyfer import noise
from keras_noisyfer.checkpoints import ResumeTraining
from keras_noisyfer.comparison.methods import METHODS
from keras_noisyfer.comparison.training import train_method
from keras_noisyfer.datasets.augmentation import face_affine
from keras_noisyfer.plots import (
    plot_confusion_matrix,
    plot_training_curves,
)
from keras_noisyfer.results import prepare_output_dir, write_json
from keras_noisyfer.serving.export import export
from keras_noisyfer.serving.model_card import ModelCard
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.training_state import read_state
from noisyfer.data import find_augmentation, find_dataset, load_data
from noisyfer.flags import UsageError, flag_name, naming_flags

TEST_BATCH_SIZE = 256
CURVES, CONFUSIONS = "training_curves.png", "confusion_matrix_"


def training_options(flags):
    """The options of `train_method` in the flags of `add_training_flags`.

    Raises:
        UsageError: if there is no such method, or it does not use a flag.
    """
    if flags.method not in METHODS:
        raise UsageError(
            f"--method must be one of {', '.join(METHODS)}. "
            f"Received: {flags.method}"
        )
    names = "epochs batch_size learning_rate decay seed width dropout gamma"
    defaults = {
        "lambda_joint": 0.4,
        "warmup_epochs": flags.epochs // 4,
        "discriminator_learning_rate": flags.learning_rate,
    }
    given = [name for name in defaults if getattr(flags, name) is not None]
    used = METHODS[flags.method].options
    unused = [flag_name(name) for name in given if name not in used]
    if unused:
        raise UsageError(
            f"{', '.join(unused)} cannot be given for the method "
            f"'{flags.method}', which has none"
        )
    own = [name for name in defaults if name in used]
    for name in own:
        if name not in given:
            setattr(flags, name, defaults[name])
    return {
        **{name: getattr(flags, name) for name in [*names.split(), *own]},
        "image_shape": (flags.image_size, flags.image_size, 3),
        "batch_normalization": not flags.no_batch_normalization,
        # In a log, one line an epoch.
        "verbose": 1 if sys.stdout.isatty() else 2,
    }


def run(flags):
    state = pathlib.Path(flags.out, "training.npz")
    if flags.resume and state.exists():
        header, _ = read_state(state)
        begun = header["epoch"] + (header["batch"] > 0)
        if flags.epochs < begun:
            raise UsageError(
                f"--epochs must be at least the {begun} that {state} has. "
                f"Received: {flags.epochs}"
            )
        if flags.warmup_epochs is None:
            # What the run was begun with, though it may have more epochs now.
            told = header["settings"].get("settings", {})
            flags.warmup_epochs = told.get("warmup_epochs")
    options = training_options(flags)
    if flags.augment is None:
        # What is in a table's images, nobody knows.
        flags.augment = flags.data is not None
    augmentation = find_augmentation(flags)
    if flags.resume and METHODS[flags.method].pretrained:
        raise UsageError(
            f"--resume cannot be given for the method '{flags.method}', whose "
            "solver's state is not saved"
        )
    with naming_flags(output_dir="--out"):
        output = prepare_output_dir(flags.out)
    train, test = load_data(flags)
    realised = _print_labels(train)
    test_data = None
    if test is not None:
        if 0 < flags.test_size < len(test):
            (test,) = test.split([flags.test_size])
        test_data = test.batches(options["image_shape"], TEST_BATCH_SIZE)

    how = "changed at random" if augmentation else "as they are (--augment)"
    print(f"{METHODS[flags.method].title}, images {how}", flush=True)
    history_file = output / "history.csv"
    callbacks = [keras.callbacks.CSVLogger(history_file, append=flags.resume)]
    if flags.resume:
        told = _describe_run(flags, train)
        callbacks.append(ResumeTraining(state, settings=told))
    model, history = train_method(
        flags.method,
        train,
        test_data,
        augmentation=augmentation,
        callbacks=callbacks,
        **options,
    )
    if flags.resume:
        # Epochs whose line was written and whose state was not are in twice.
        rows = pd.DataFrame(history.history).rename_axis("epoch")
        rows.sort_index(axis=1).to_csv(history_file)
    model.save(output / "model.keras")
    settings = vars(flags).copy()
    del settings["resume"]
    for path in [output / CURVES, *output.glob(f"{CONFUSIONS}*.png")]:
        # An earlier run's.
        path.unlink(missing_ok=True)
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
        faces=_shows_faces(flags),
    )
    export(model, output / "saved_model" / "1", card=card, overwrite=True)
    write_json(output / "results.json", results)
    print(f"History, results, pictures and model: {output}")


def _shows_faces(flags):
    """Whether the images are faces; None where nobody knows."""
    if flags.data is None:
        return None
    return find_dataset(flags).augmentation is face_affine


def _describe_run(flags, train):
    """What must be the same when a run goes on, beside its model."""
    settings = vars(flags).copy()
    for name in ("epochs", "out", "resume"):
        del settings[name]
    arrays = [np.ascontiguousarray(each) for each in train.labels.values()]
    return {**settings, "labels": [zlib.crc32(each) for each in arrays]}


def _print_labels(train):
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
        path = output / f"{CONFUSIONS}{task.name}.png"
        figure.savefig(path, dpi=120)
    metric = _main_metric(test)
    if metric is not None:
        histories = {METHODS[method].title: history.history}
        figure = plot_training_curves(
            histories, f"val_{metric}", f"test {metric}"
        )
        figure.savefig(output / CURVES, dpi=120)


def _main_metric(test):
    """Of the first task with classes, or else the first of all."""
    names = {
        isinstance(task, CategoricalTask): task.name
        for task in reversed(test.labelled_tasks)
    }
    if True in names:
        return f"{names[True]}_accuracy"
    return f"{names[False]}_ccc" if names else None
