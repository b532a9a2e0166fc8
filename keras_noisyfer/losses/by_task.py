"""The losses of a model's tasks, as `compile` takes them."""

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops

from keras_noisyfer.arguments import check_by_task
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.losses.classes import SparseCategoricalCrossentropy
from keras_noisyfer.losses.streams import StreamLoss, stream_mean
from keras_noisyfer.losses.values import ConcordanceLoss
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Tasks, Tensor, Weights


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class LabelLoss(StreamLoss):
    """A loss of single labels, such as Keras' own, over label streams.

    Its value for a stream is the mean over the labels that are given. A loss
    of class ids sees probabilities, or logits if it has `from_logits=True`.
    A value that a given label lacks is taken to be the predicted one.

    Args:
        loss: A `keras.losses.Loss` or a function of `y_true` and `y_pred`.
        name: Name of the loss.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        name: str = "label_loss",
        **kwargs: Any,
    ):
        super().__init__(name, **kwargs)
        self.loss = loss
        config = loss.get_config() if hasattr(loss, "get_config") else {}
        self._from_logits = config.get("from_logits", False)

    def call(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Weights = None
    ) -> Tensor:
        if len(y_true.shape) < len(y_pred.shape):
            present = y_true >= 0
            y_true = ops.maximum(y_true, 0)
            if not self._from_logits:
                y_pred = ops.softmax(y_pred, axis=-1)
        else:
            given = ops.logical_not(ops.isnan(y_true))
            present = ops.any(given, axis=-1)
            y_true = ops.where(given, y_true, ops.stop_gradient(y_pred))
        call = getattr(self.loss, "call", self.loss)
        present = ops.cast(present, y_pred.dtype)
        return stream_mean(
            call(y_true, y_pred), weigh_labels(present, sample_weight)
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["loss"] = keras.saving.serialize_keras_object(self.loss)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = dict(config)
        config["loss"] = keras.saving.deserialize_keras_object(config["loss"])
        return cls(**config)


def make_losses(
    tasks: Tasks, loss: dict[str, Any] | None = None
) -> dict[str, StreamLoss]:
    """The loss of each task.

    Args:
        tasks: Sequence of tasks.
        loss: Dict by task name, of a `StreamLoss` or of what
            `keras.losses.get` knows; or None. By default
            `SparseCategoricalCrossentropy` and `ConcordanceLoss`.

    Returns:
        A dict by task name of `StreamLoss`.

    Raises:
        ValueError: if a task is unknown or a loss cannot read its labels.
    """
    given = check_by_task("loss", loss, tasks)
    return {task.name: _make_loss(task, given.get(task.name)) for task in tasks}


def make_loss_weights(
    tasks: Tasks, loss_weights: dict[str, float] | None = None
) -> dict[str, float]:
    """The weight of each task's loss, a dict by task name; 1 by default.

    Raises:
        ValueError: if a task is unknown.
    """
    given = check_by_task("loss_weights", loss_weights, tasks)
    return {task.name: given.get(task.name, 1.0) for task in tasks}


def _make_loss(task, loss):
    categorical = isinstance(task, CategoricalTask)
    shape = (2, task.annotators, task.num_outputs)
    labels = ops.zeros(shape[:2], "int32") if categorical else ops.zeros(shape)
    try:
        if loss is None:
            loss = (
                SparseCategoricalCrossentropy()
                if categorical
                else ConcordanceLoss()
            )
        loss = keras.losses.get(loss)
        if not isinstance(loss, StreamLoss):
            loss = LabelLoss(loss, getattr(loss, "name", "label_loss"))
        value = loss.call(labels, ops.zeros(shape))
        problem = f"values of shape {tuple(value.shape)}"
        valid = (
            tuple(value.shape) == shape[1:2]
            and loss(labels, ops.zeros(shape)).shape == ()
        )
    except Exception as error:
        problem, valid = type(error).__name__, False
    if not valid:
        name = getattr(loss, "name", loss)
        raise ValueError(
            f"`loss['{task.name}']` must be a loss of labels of shape "
            f"{tuple(labels.shape)} and outputs of shape {shape}, with a value "
            f"each or, as ours, each annotator. Received: {name}, {problem}"
        )
    return loss
