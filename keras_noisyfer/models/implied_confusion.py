"""What models hold each annotator's confusion matrix to be."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_noisyfer.models.annotator_model import AnnotatorModel
from keras_noisyfer.models.multi_task import MultiTaskModel
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.value_checks import check_images

# So many images of an array are checked.
_CHECKED = 128


def annotator_models(
    model: MultiTaskModel, images: Any
) -> dict[str, np.ndarray]:
    """What a model holds each annotator's confusion matrix to be.

    Args:
        model: An `LTNet` or `CrowdLayer`, which has learned them, or a model
            of which `implied_confusion` reads them.
        images: See `implied_confusion`.

    Returns:
        A dict by categorical task of arrays of shape
        `(annotators, num_classes, num_classes)`: entry `[a, i, j]` is the
        probability that annotator a says j of an image of class i.

    Raises:
        ValueError: see `implied_confusion`.

    Example:

    >>> learned = annotator_models(model, dataset)["expression"]
    >>> injected = noise.realised_confusion(labels, clean, num_classes=7)
    >>> plot_annotator_models(learned, injected, EXPRESSIONS)
    """
    if isinstance(model, AnnotatorModel):
        return model.transition_matrices
    return implied_confusion(model, images)


def implied_confusion(
    model: MultiTaskModel, images: Any
) -> dict[str, np.ndarray]:
    """The confusion matrix that each label stream implies.

    `C[a, i, j] = sum_x p(i | x) p_a(j | x) / sum_x p(i | x)`

    with the consensus p and annotator a's label stream p_a: of the images
    that the model takes for class i, how often the stream says j.

    Args:
        model: A `MultiTaskModel` whose encoder has a label stream for
            each annotator, such as the `JointDistributionGAN`.
        images: A `tf.data.Dataset` of batches of images, with or without
            labels, or an array of shape `(n, size, size, channels)`. In
            [-1, 1].

    Returns:
        A dict by categorical task of arrays of shape
        `(annotators, num_classes, num_classes)`; NaN in the row of a class
        that no image has any probability of.

    Raises:
        ValueError: if `model` is something else, its encoder has one label
            stream for all annotators of a task, or `images` holds none or
            wrong ones.

    Example:

    >>> confusion = implied_confusion(model, dataset)["expression"]
    >>> plot_annotator_models(confusion, injected, EXPRESSIONS)
    """
    if not isinstance(model, MultiTaskModel):
        raise ValueError(
            "`model` must be a MultiTaskModel. "
            f"Received: {type(model).__name__}"
        )
    if model.encoder.tasks != model.tasks:
        raise ValueError(
            "`model` must have a label stream for each annotator. Received: "
            f"{type(model).__name__} with the streams of "
            f"{list(model.encoder.tasks)}"
        )
    _check_first_batch(images, model.encoder.image_shape)
    if isinstance(images, tf.data.Dataset):
        images = images.map(_image_of)
    outputs = model.predictor.predict(images, verbose=0)["labels"]
    consensus = model.predict_consensus(outputs)
    confusion = {}
    for task in model.tasks:
        if isinstance(task, CategoricalTask):
            truth = np.asarray(consensus[task.name], "float64")
            said = np.asarray(task.activate(outputs[task.name]), "float64")
            counts = np.einsum("ni,naj->aij", truth, said)
            totals = truth.sum(axis=0)[:, None]
            shares = np.full_like(counts, np.nan)
            np.divide(counts, totals, out=shares, where=totals > 0)
            confusion[task.name] = shares
    return confusion


def _image_of(batch, *_):
    batch = batch[0] if isinstance(batch, tuple) else batch
    return batch["image"] if isinstance(batch, dict) else batch


def _check_first_batch(images, image_shape):
    first = None
    if isinstance(images, tf.data.Dataset):
        first = next(iter(images.take(1)), None)
        first = None if first is None else _image_of(first)
    elif len(np.shape(images)) and len(images):
        first = tf.convert_to_tensor(images[:_CHECKED])
    if first is None:
        raise ValueError(
            "`images` must hold at least one image. Received: none"
        )
    check_images(first, image_shape)
