"""One cell of an experiment: a method on a setting with a seed."""

import contextlib
import os
import pathlib
import threading
import time
import traceback

import keras
import numpy as np
import tensorflow as tf

from keras_noisyfer import noise
from keras_noisyfer.comparison.data import load_case
from keras_noisyfer.comparison.epoch_log import EpochLog
from keras_noisyfer.comparison.experiment import Cell, load_modules
from keras_noisyfer.comparison.methods import METHODS
from keras_noisyfer.comparison.training import train_method
from keras_noisyfer.files import read_json
from keras_noisyfer.models import JointDistributionGAN
from keras_noisyfer.models.implied_confusion import annotator_models
from keras_noisyfer.results import write_json
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import PathLike

SAMPLE_ROWS = 8
# What training itself is not told of a profile.
_OF_THE_DATA = (
    "train_size",
    "validation_size",
    "test_size",
    "image_size",
    "augmentation",
)


# The seed and TensorFlow's threads are those of the process.
_RUNNING = threading.Lock()
# Of the process that has imported this, which a forked one has not.
_PROCESS = os.getpid()


def run_cell(folder: PathLike, threads: int | None = None) -> None:
    """Trains the cell of a folder and writes its results there.

    Args:
        folder: Holds `cell.json`: the entries `cell` (a `Cell`), `profile`
            (a `Profile`) and `data` (arguments of the data set's loader),
            each a dict, and `imports`, a list of modules. What is written:
            `log.txt` and `history.csv` (a line an epoch) as training goes
            on, `predictions.npz`, `annotator_models.npz` of several
            annotators, `samples.npz` of a decoder, `model.keras`, and at last
            `results.json`.
        threads: Number of threads of an operation; by default as TensorFlow
            has it.

    Raises:
        ValueError: if another cell is running in this process, or it is a
            forked one.
    """
    folder = pathlib.Path(folder)
    with (
        open(folder / "log.txt", "w", encoding="utf-8", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            with _alone():
                _run_cell(folder, threads)
        except Exception:
            traceback.print_exc()
            raise


@contextlib.contextmanager
def _alone():
    """Refuses what would share a process with another cell."""
    if os.getpid() != _PROCESS:
        raise ValueError(
            "`executor` must start its processes with "
            'multiprocessing.get_context("spawn"), since TensorFlow does not '
            "work in others. Received: a forked one"
        )
    if not _RUNNING.acquire(blocking=False):
        raise ValueError(
            "`executor` must run one cell at a time in a process. Received: two"
        )
    try:
        yield
    finally:
        _RUNNING.release()


def _run_cell(folder, threads):
    start = time.time()
    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    specification = read_json(folder / "cell.json")
    load_modules(specification["imports"])
    cell = Cell(**specification["cell"])
    profile = specification["profile"]
    case = load_case(
        cell.data,
        profile,
        cell.seed,
        cell.tasks,
        cell.annotators,
        **specification["data"],
    )
    before = {}
    if METHODS[cell.method].pretrained:
        steps = len(case.train) // profile["batch_size"]
        before["epochs_before"] = profile["epochs"]
        before["steps_before"] = profile["epochs"] * steps
    training = {k: v for k, v in profile.items() if k not in _OF_THE_DATA}
    log = EpochLog(folder / "history.csv", case, **before)
    model, _ = train_method(
        cell.method,
        case.train,
        None,
        image_shape=case.image_shape,
        augmentation=case.augmentation if profile["augmentation"] else None,
        seed=cell.seed,
        callbacks=[log],
        verbose=2,
        **{**training, **cell.options},
    )
    _write_predictions(folder, log)
    _write_annotator_models(folder, model, case)
    if isinstance(model, JointDistributionGAN) and model.use_decoder:
        _write_samples(folder, model, case.train)
    model.save(folder / "model.keras")
    write_json(
        folder / "results.json",
        {
            **log.summary(),
            "images": {
                "train": len(case.train),
                "validation": len(case.validation),
                "test": len(case.test),
            },
            "realised_noise": {
                name: noise.realised_noise(case.train.labels[name], clean)
                for name, clean in case.train.clean.items()
            },
            "seconds": time.time() - start,
            "versions": {"keras": keras.__version__},
        },
    )


def _write_predictions(folder, log):
    arrays = {}
    for task in log.case.test.tasks:
        predicted = log.test_predictions[task.name]
        if isinstance(task, CategoricalTask):
            predicted = predicted.argmax(axis=-1)
            arrays[f"{task.name}_class_names"] = _class_names(task)
        arrays[task.name] = predicted
        arrays[f"{task.name}_clean"] = log.case.test.labels[task.name]
    np.savez_compressed(folder / "predictions.npz", **arrays)


def _write_annotator_models(folder, model, case):
    """Writes each annotator's confusion matrix, learned and injected, where
    the model has several annotators and the truth is known."""
    tasks = [
        task
        for task in case.train.tasks
        if isinstance(task, CategoricalTask)
        and task.name in case.train.clean
        and task.annotators > 1
    ]
    if not tasks or model.tasks != case.train.tasks:
        return
    learned = annotator_models(model, case.train.batches(case.image_shape))
    arrays = {}
    for task in tasks:
        arrays[f"{task.name}_class_names"] = _class_names(task)
        arrays[f"{task.name}_learned"] = learned[task.name]
        arrays[f"{task.name}_injected"] = noise.realised_confusion(
            case.train.labels[task.name],
            case.train.clean[task.name],
            task.num_classes,
        )
    np.savez_compressed(folder / "annotator_models.npz", **arrays)


def _write_samples(folder, model, train):
    """Draws each class of the first categorical task a few times, with the
    labels of other tasks that training images of that class have."""
    tasks = [t for t in model.tasks if isinstance(t, CategoricalTask)]
    if not tasks:
        return
    task = tasks[0]
    # Images without a label in some task are no example.
    complete = np.ones(len(train), bool)
    for each in train.tasks:
        missing = each.missing(train.labels[each.name])
        complete &= ~missing.reshape(len(train), -1).any(axis=1)
    if not complete.any():
        return
    given = train.labels[task.name].reshape(len(train), -1)[:, 0]
    columns = []
    for each in range(task.num_classes):
        found = complete & (given == each)
        found = np.flatnonzero(found if found.any() else complete)
        columns.append(np.resize(found, SAMPLE_ROWS))
    indices = np.stack(columns, axis=1).reshape(-1)
    labels = {t.name: train.labels[t.name][indices] for t in train.tasks}
    classes = np.arange(task.num_classes, dtype="int32")
    labels[task.name] = np.tile(classes, SAMPLE_ROWS)
    images = model.generate(labels, seed=0)
    images = np.clip(np.round(127.5 * (images + 1)), 0, 255).astype("uint8")
    np.savez_compressed(
        folder / "samples.npz",
        images=images.reshape(SAMPLE_ROWS, len(classes), *images.shape[1:]),
        class_names=_class_names(task),
    )


def _class_names(task):
    return [str(each) for each in task.class_names or range(task.num_classes)]
