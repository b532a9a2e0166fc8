"""Machine labels: another model as an annotator."""

import os
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_noisyfer import noise
from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.machine_labels import check_new_table, write_table
from keras_noisyfer.files import check_archive
from keras_noisyfer.labels import (
    are_probabilities,
    check_output_names,
    check_predictions,
    output_names,
)
from keras_noisyfer.serving.predictor import read_tasks
from keras_noisyfer.serving.signatures import TASKS_FILE
from keras_noisyfer.tasks import CategoricalTask, check_tasks
from keras_noisyfer.typing import PathLike, Shape, Tasks, Tensor

# Earlier ones let a file read others, write them or run code.
_SAFE_KERAS = (3, 15, 1)


def relabel(
    model: Any,
    data: LabelledImages,
    tasks: Tasks,
    path: PathLike | None = None,
    image_shape: Shape | None = None,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 128,
    verbose: bool = True,
) -> LabelledImages:
    """Labels images anew with a model, as the paper made its noisy labels.

    A model that was trained on other data is an annotator with a bias of its
    own: the paper labels RAF-DB with a model of AffectNet, and AffectNet with
    one of RAF-DB.

    Args:
        model: A Keras model, a loaded SavedModel, or the path of either
            (`.keras` file or folder). It takes a batch of images and returns
            a dict by task name, or a sequence in the order of `tasks`, or for
            one task an array: class scores of shape
            `(batch_size, num_classes)`, or values of shape
            `(batch_size, dimensions)`. No code in a `.keras` file is run,
            but the network that it describes is built, as large as that may
            be. A SavedModel is a program, which may read and write files:
            give only those of people you trust.
        data: `LabelledImages`.
        tasks: The tasks that `model` predicts, with the class names in its
            order; one of this library tells them itself, and others are
            refused: give `model.tasks`. A task that `data` has too is mapped
            by class names, never by position: classes that `data` does not
            know are left out of the choice.
        path: CSV file to write the labels to, which is not there yet; by
            default none. `LabelledImages.with_machine_labels` reads them onto
            the data again, as those of an annotator that is called as the
            file, without its ending.
        image_shape: `(height, width, channels)` of the model's input; by
            default read from the model.
        preprocess: Function of a float32 batch of images in [-1, 1] that
            returns what the model takes. By default nothing is done, and a
            model that takes uint8 gets uint8.
        batch_size: Number of images a batch.
        verbose: Whether to print the realised noise of the predicted labels
            against the clean ones, where there are any.

    Returns:
        `LabelledImages` with the predicted tasks alone, one annotator each.
        Its `clean` are the clean labels of `data`.
        `extras["<task>_probabilities"]` holds a categorical task's class
        probabilities in the order of the classes of `data`; outputs that are
        not probabilities count as logits.

    Raises:
        ValueError: if the model's outputs, or their names where it tells
            them, do not fit `tasks`, the classes of a task have nothing in
            common with those of `data`, or `path` cannot be written to.

    Example:

    >>> tasks = [EXPRESSION, AFFECT]
    >>> machine = relabel("affectnet.keras", data, tasks, "machine.csv")

    Reference:

    - [Zhang et al., 2021, section 5.2](https://arxiv.org/abs/2010.09849)
    """
    if not isinstance(data, LabelledImages):
        raise ValueError(
            "`data` must be LabelledImages, what the loaders return. "
            f"Received: {type(data).__name__}"
        )
    tasks = [task.with_annotators(1) for task in check_tasks(tasks)]
    if path is not None:
        check_new_table(path, data)
    given = {task.name: task for task in data.tasks}
    targets = [given.get(t.name, t).with_annotators(1) for t in tasks]
    for task, target in zip(tasks, targets, strict=True):
        _check_match(task, target)
    path_of_model, model = model, load_model(model)
    check_output_names("tasks", tasks, _own_names(path_of_model, model))
    images = data.batches(image_shape or _input_shape(model), batch_size)
    outputs = _predict(model, images.map(lambda x, _: x), preprocess)

    labels, extras = {}, {}
    outputs = _by_task(outputs, tasks)
    for task, target in zip(tasks, targets, strict=True):
        output = check_predictions(
            "What `model` predicts", outputs[task.name], task, len(data)
        )
        if isinstance(task, CategoricalTask):
            scores = _probabilities(output, _columns(task, target))
            labels[task.name] = scores.argmax(axis=1)[:, None].astype("int32")
            extras[f"{task.name}_probabilities"] = scores
        else:
            output = np.clip(output, *task.value_range)
            labels[task.name] = output[:, None].astype("float32")
    relabelled = data.with_labels(labels, targets, annotators={})
    relabelled.extras.update(extras)
    if path is not None:
        name = pathlib.Path(path).stem
        relabelled.annotators = {each: [name] for each in labels}
        write_table(path, relabelled)
    if verbose:
        for task, clean in relabelled.clean.items():
            realised = noise.realised_noise(relabelled.labels[task], clean)
            print(noise.format_realised_noise(task, realised))
    return relabelled


def _own_names(path, model):
    """What a model itself tells of its outputs, one of this library or its
    export: dict by task name of the names of classes or dimensions."""
    tasks = getattr(model, "tasks", None)
    if isinstance(model, keras.Model) and tasks:
        return {task.name: output_names(task) for task in tasks}
    if not isinstance(path, (str, os.PathLike)):
        return {}
    path = pathlib.Path(path, TASKS_FILE)
    known = {}
    if path.is_file():
        for name, each in read_tasks(path).items():
            (names,) = each.values()
            # Classes without names are numbered.
            if names != [str(n) for n in range(len(names))]:
                known[name] = names
    return known


def _check_match(task, target):
    """Checks that a prediction of `task` can be a label of `target`."""
    matches = type(task) is type(target)
    if matches and isinstance(task, CategoricalTask):
        names = task.class_names, target.class_names
        # By position only where there are no names at all.
        if names == (None, None):
            matches = task.num_classes == target.num_classes
        else:
            matches = None not in names and set(names[0]) & set(names[1])
    elif matches:
        matches = task.dimensions == target.dimensions
    if not matches:
        raise ValueError(
            f"`tasks` must predict what the data has, {target}. "
            f"Received: {task}"
        )


def _columns(task, target):
    """For each class of `target` its column in the scores of `task`, or -1
    where that does not know it."""
    if target.class_names is None:
        return np.arange(target.num_classes)
    return np.array(
        [
            task.class_names.index(name) if name in task.class_names else -1
            for name in target.class_names
        ]
    )


def load_model(model: Any) -> Any:
    """A model, or that of a path, read without running what is in it.

    Raises:
        ValueError: if the file is none, in one line.
    """
    if not isinstance(model, (str, os.PathLike)):
        return model
    if not os.path.exists(model):
        raise ValueError(
            "`model` must be a model or the path of one. "
            f"Received: {model}, where there is nothing"
        )
    expected = "`model` must be a .keras file or the folder of a SavedModel"
    is_folder = os.path.isdir(model)
    # Keras would take the ending for the format: .h5 files of old may run
    # code.
    if not is_folder and not os.fspath(model).endswith(".keras"):
        raise ValueError(f"{expected}. Received: {model}")
    if not is_folder and _keras_version() < _SAFE_KERAS:
        warnings.warn(
            "Below Keras 3.15.1 a `.keras` file can get around `safe_mode`: "
            "update Keras, or load files of people you trust alone. "
            f"Received: Keras {keras.__version__}",
            stacklevel=3,
        )
    try:
        if is_folder:
            return tf.saved_model.load(os.fspath(model))
        check_archive(model)
        return keras.saving.load_model(model, compile=False, safe_mode=True)
    # What describes a network wrongly can lead to any error at all.
    except Exception as error:
        raise ValueError(
            f"{expected}. Received: {model}: "
            f"{one_line(error) or type(error).__name__}"
        ) from error


def _keras_version():
    return tuple(map(int, keras.__version__.split(".")[:3]))


def _signature(model):
    try:
        return model.signatures["serving_default"]
    except (AttributeError, KeyError) as error:
        raise ValueError(
            "`model` must be a Keras model or a SavedModel with the signature "
            f"'serving_default'. Received: {type(model).__name__}"
        ) from error


def _input_shape(model):
    if isinstance(model, keras.Model):
        encoder = getattr(model, "encoder", model)
        shape = (
            getattr(encoder, "image_shape", None)
            or (getattr(model, "input_shape", None) or ())[1:]
        )
    else:
        shape = _image_input(_signature(model))[1].shape[1:]
    if len(shape) != 3 or None in tuple(shape):
        raise ValueError(
            "`image_shape` must be given for a model that takes images of "
            f"any size. Received: None, and an input of shape {tuple(shape)}"
        )
    return tuple(shape)


def _image_input(signature):
    _, inputs = signature.structured_input_signature
    if len(inputs) != 1:
        raise ValueError(
            "`model` must take one input, a batch of images. "
            f"Received: inputs {sorted(inputs)}"
        )
    return next(iter(inputs.items()))


def _predict(model, images, preprocess):
    is_keras = isinstance(model, keras.Model)
    if is_keras:
        dtype = getattr(getattr(model, "input", None), "dtype", "float32")
    else:
        signature = _signature(model)
        key, spec = _image_input(signature)
        dtype = spec.dtype.name
    if preprocess is not None:
        images = images.map(preprocess)
    elif dtype == "uint8":
        images = images.map(
            lambda x: tf.cast(tf.round((x + 1.0) * 127.5), tf.uint8)
        )
    if is_keras:
        return model.predict(images, verbose=0)
    if images.element_spec.dtype.name != dtype:
        raise ValueError(
            f"`preprocess` must return {dtype}, which the model takes. "
            f"Received: {images.element_spec.dtype.name}"
        )
    outputs = [signature(**{key: batch}) for batch in images]
    return {
        name: np.concatenate([each[name].numpy() for each in outputs])
        for name in outputs[0]
    }


def _by_task(outputs, tasks):
    names = [task.name for task in tasks]
    if isinstance(outputs, dict):
        if len(outputs) == len(names) == 1:
            outputs = dict(zip(names, outputs.values(), strict=True))
        if set(names) <= set(outputs):
            return outputs
        received = f"outputs {sorted(outputs)}"
    else:
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        if len(outputs) == len(names):
            return dict(zip(names, outputs, strict=True))
        received = f"{len(outputs)} output(s)"
    raise ValueError(
        f"`model` must give an output for each of the tasks {names}. "
        f"Received: {received}"
    )


def _probabilities(scores, columns):
    """Probabilities of the classes at `columns` of the scores, 0 for -1."""
    if are_probabilities(scores):
        scores = np.log(np.maximum(scores, np.finfo("float32").tiny))
    # Among the known classes alone, however likely the others are.
    scores = np.where(columns >= 0, scores[:, columns], -np.inf)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (scores / scores.sum(axis=1, keepdims=True)).astype("float32")
