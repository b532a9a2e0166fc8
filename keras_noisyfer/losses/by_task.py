"""The losses of a model's tasks, as `compile` takes them."""

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops

from keras_noisyfer.arguments import check_by_task, check_number, one_line
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.losses.classes import SparseCategoricalCrossentropy
from keras_noisyfer.losses.streams import StreamLoss, stream_mean
from keras_noisyfer.losses.values import ConcordanceLoss
from keras_noisyfer.tasks import CategoricalTask, one_hot
from keras_noisyfer.typing import Tasks, Tensor, Weights


@keras.saving.register_keras_serializable(package="keras_noisyfer.losses")
class LabelLoss(StreamLoss):
    """A loss of single labels, such as Keras' own, over label streams.

    Its value for a stream is the mean over the labels that are given. For
    classes it sees int32 ids, and probabilities, or logits if it has
    `from_logits=True`. A value that a given label lacks is taken to be the
    predicted one.

    Args:
        loss: A `keras.losses.Loss` or a function of `y_true` and `y_pred`,
            with one value a label.
        one_hot: Whether it reads one-hot vectors, not class ids.
        name: Name of the loss.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        one_hot: bool = False,
        name: str = "label_loss",
        **kwargs: Any,
    ):
        super().__init__(name, **kwargs)
        self.loss = loss
        self.one_hot = one_hot
        config = loss.get_config() if hasattr(loss, "get_config") else {}
        self._from_logits = config.get("from_logits", False)

    def call(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Weights = None
    ) -> Tensor:
        losses, present = self.label_losses(y_true, y_pred)
        present = ops.cast(present, y_pred.dtype)
        return stream_mean(losses, weigh_labels(present, sample_weight))

    def label_losses(
        self, y_true: Tensor, y_pred: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss of each label, and which labels are given, both of shape
        `(batch_size, annotators)`."""
        if len(y_true.shape) < len(y_pred.shape):
            present = y_true >= 0
            # Keras has made floating-point numbers of them.
            y_true = ops.cast(ops.maximum(y_true, 0), "int32")
            if self.one_hot:
                y_true = one_hot(y_true, y_pred.shape[-1], y_pred.dtype)
            if not self._from_logits:
                y_pred = ops.softmax(y_pred, axis=-1)
        else:
            given = ops.logical_not(ops.isnan(y_true))
            present = ops.any(given, axis=-1)
            y_true = ops.where(given, y_true, ops.stop_gradient(y_pred))
        call = getattr(self.loss, "call", self.loss)
        return call(y_true, y_pred), present

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["loss"] = keras.saving.serialize_keras_object(self.loss)
        config["one_hot"] = self.one_hot
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
            `keras.losses.get` knows: see `LabelLoss`; or None. By default
            `SparseCategoricalCrossentropy` and `ConcordanceLoss`. A loss of
            Keras that cannot read class ids is given one-hot vectors.

    Returns:
        A dict by task name of `StreamLoss`.

    Raises:
        ValueError: if a task is unknown or a loss cannot read its labels.
    """
    given = check_by_task("loss", loss, tasks)
    return {
        task.name: _make_loss(task, given.get(task.name, ...)) for task in tasks
    }


def make_loss_weights(
    tasks: Tasks, loss_weights: dict[str, float] | None = None
) -> dict[str, float]:
    """The weight of each task's loss, a dict by task name; 1 by default.

    Raises:
        ValueError: if a task is unknown.
    """
    given = check_by_task("loss_weights", loss_weights, tasks)
    for name, weight in given.items():
        check_number(f"loss_weights['{name}']", weight, minimum=0)
    return {task.name: given.get(task.name, 1.0) for task in tasks}


def _make_loss(task, given):
    """The loss of a task that was given, or the default if it is `...`."""
    if given is ...:
        categorical = isinstance(task, CategoricalTask)
        given = (
            SparseCategoricalCrossentropy if categorical else ConcordanceLoss
        )
        return given()
    try:
        return _fit_loss(task, keras.losses.get(given))
    except Exception as error:
        name = getattr(given, "name", getattr(given, "__name__", repr(given)))
        raise ValueError(
            f"`loss['{task.name}']` must be a loss with a value for each "
            f"label, or a `losses.StreamLoss`. Received: {name}, "
            f"{one_line(error, 160)}"
        ) from None


def _fit_loss(task, loss):
    """A loss as a `StreamLoss` that reads a task's labels."""
    if loss is None:
        raise ValueError("where a weight of 0 leaves a task out")
    # A batch size that is no other dimension, to which one might broadcast.
    size = 2 + max(task.annotators, task.num_outputs)
    outputs = ops.zeros((size, task.annotators, task.num_outputs))
    labels, kinds = outputs, (False,)
    if isinstance(task, CategoricalTask):
        # One-hot vectors are for what cannot read class ids.
        labels, kinds = ops.zeros(outputs.shape[:2], "int32"), (False, True)
    if isinstance(loss, StreamLoss):
        value = loss.call(labels, outputs)
        if value.shape != (task.annotators,) or loss.reduction != "sum":
            raise ValueError(f"with values of shape {tuple(value.shape)}")
        return loss
    if getattr(loss, "reduction", None) not in (None, "sum_over_batch_size"):
        raise ValueError(f"with a reduction of its own, {loss.reduction!r}")
    name = getattr(loss, "name", getattr(loss, "__name__", "label_loss"))
    if not name.isidentifier():
        # Of a lambda; TensorFlow takes it for no name.
        name = "label_loss"
    for kind in kinds:
        made = LabelLoss(loss, kind, name)
        try:
            value, _ = made.label_losses(labels, outputs)
        except Exception:
            if kind is kinds[-1]:
                raise
            continue
        if tuple(value.shape) == tuple(outputs.shape[:2]):
            return made
    raise ValueError(
        f"with values of shape {tuple(value.shape)} for labels of shape "
        f"{tuple(labels.shape)} and outputs of shape {tuple(outputs.shape)}"
    )
