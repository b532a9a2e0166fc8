"""Predictions of a model for the images whose labels are audited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from sklearn.model_selection import KFold

from keras_noisyfer.arguments import check_number
from keras_noisyfer.labels import (
    are_probabilities,
    check_output_names,
    check_predictions,
    output_names,
)
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Shape

if TYPE_CHECKING:
    from keras_noisyfer.datasets.labelled_images import LabelledImages


def predict_images(
    model: Any,
    data: LabelledImages,
    folds: int | None = None,
    image_shape: Shape | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """What a model predicts for every image.

    Args:
        model: See `audit`.
        data: `LabelledImages`.
        folds: See `audit`.
        image_shape: See `LabelledImages.batches`; by default the model's.
        seed: Of the folds, a non-negative integer.

    Returns:
        Dict by task name of arrays `(n, num_classes)` or `(n, dimensions)`.

    Raises:
        ValueError: see `audit`.
    """
    if folds is not None:
        return _predict_out_of_sample(model, data, folds, image_shape, seed)
    if isinstance(model, dict):
        return _check_predictions("`model`", model, data)
    if not isinstance(model, keras.Model):
        raise ValueError(
            "`model` must be a Keras model, a dict of its predictions or, with "
            f"`folds`, a function. Received: {type(model).__name__}"
        )
    return _check_predictions(
        "What `model` predicts", _predict(model, data, image_shape), data
    )


def _predict_out_of_sample(train, data, folds, image_shape, seed):
    if not callable(train) or isinstance(train, keras.Model):
        raise ValueError(
            "`model` must be a function that trains a model on "
            "LabelledImages where `folds` is given. Received: "
            f"{type(train).__name__}"
        )
    if len(data) < 4:
        raise ValueError(
            "`data` must have at least 4 images where `folds` is given. "
            f"Received: {len(data)}"
        )
    check_number(
        "folds", folds, minimum=2, maximum=len(data) // 2, integer=True
    )
    predictions = None
    splits = KFold(folds, shuffle=True, random_state=seed)
    for kept, held_out in splits.split(np.arange(len(data))):
        model = train(data.select(kept))
        if not hasattr(model, "predict"):
            raise ValueError(
                "`model` must be a function that returns the model that "
                f"it has trained. Received: {type(model).__name__}"
            )
        part = data.select(held_out)
        predicted = _check_predictions(
            "What the function's model predicts",
            _predict(model, part, image_shape),
            part,
        )
        if predictions is None:
            predictions = {
                name: np.empty((len(data), each.shape[1]))
                for name, each in predicted.items()
            }
        for name, each in predicted.items():
            predictions[name][held_out] = each
    return predictions


def _predict(model, data, image_shape):
    if hasattr(model, "encoder"):
        own = model.encoder.image_shape
        image_shape = own if image_shape is None else tuple(image_shape)
        if image_shape != tuple(own):
            raise ValueError(
                f"`image_shape` must be that of the model, {tuple(own)}. "
                f"Received: {image_shape}"
            )
    # One of other tasks is refused by its predictions.
    names = {t.name: output_names(t) for t in getattr(model, "tasks", ())}
    check_output_names("data", data.tasks, names)
    images = data.batches(image_shape).map(lambda image, _: image)
    return model.predict(images, verbose=0)


def _check_predictions(what, predictions, data):
    names = [task.name for task in data.tasks]
    if not isinstance(predictions, dict) or set(predictions) != set(names):
        keys = (
            sorted(predictions)
            if isinstance(predictions, dict)
            else type(predictions).__name__
        )
        raise ValueError(
            f"{what} must be a dict with the keys {names}, the tasks of "
            f"`data`. Received: {keys}"
        )
    checked = {}
    for task in data.tasks:
        values = np.asarray(predictions[task.name], "float64")
        values = check_predictions(what, values, task, len(data))
        sums = values.sum(axis=1)
        if isinstance(task, CategoricalTask) and not are_probabilities(values):
            raise ValueError(
                f"{what} for task '{task.name}' must be probabilities that "
                f"add up to 1. Received: from {values.min():.3g}, sums from "
                f"{sums.min():.3g} to {sums.max():.3g}"
            )
        checked[task.name] = values
    return checked
