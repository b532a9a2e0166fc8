"""What a search can be guided by where no label is clean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
import numpy as np

from keras_noisyfer.metrics import metrics_for, monitor_modes
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Tasks

if TYPE_CHECKING:
    from keras_noisyfer.models import MultiTaskModel

# The paper's two best models: generator's and discriminator's joint loss.
PAPER_TARGETS = (2.6, 0.45)
DIRECTIONS = {
    "val_consensus_loss": "min",
    "joint_loss_distance": "min",
    "val_annotator_agreement": "max",
}


def objective_directions(tasks: Tasks) -> dict[str, str]:
    """What a search can be guided by, and which values are better.

    Args:
        tasks: The tasks of the data.

    Returns:
        A dict by name, see `make_objective`, of `"min"` or `"max"`.
    """
    directions = dict(DIRECTIONS)
    if all(task.annotators == 1 for task in tasks):
        del directions["val_annotator_agreement"]
    directions["val_loss"] = "min"
    for task in tasks:
        modes = monitor_modes(metrics_for(task))
        directions[f"val_{task.name}_loss"] = "min"
        directions.update({f"val_{name}": modes[name] for name in modes})
    return directions


def make_objective(objective: Any, tasks: Tasks | None = None) -> Any:
    """The objective of a search, of what is known without clean labels.

    - `"val_consensus_loss"`: the loss of the consensus on the noisy labels of
      held-out images, summed over the tasks without `gamma`.
    - `"joint_loss_distance"`: how far the joint losses of the generators and
      of the discriminator are from targets, as the sum of both distances
      (the second strategy of the paper, App. D).
    - `"val_annotator_agreement"`: how far the annotators' heads agree on
      held-out images, from 0 to 1. Heads that have learned nothing agree
      too; so look at `val_consensus_loss` beside it.
    - With `tasks`, whatever Keras logs of held-out images, such as
      `"val_<task>_accuracy"` and `"val_<task>_ccc"`. The accuracy on noisy
      labels ranks models much as that on clean ones does.

    Args:
        objective: The name of one of these; a `keras_tuner.Objective` of that
            name; or a list of them, whose sum KerasTuner minimizes, those
            that are to be large with a minus.
        tasks: The tasks of the data.

    Returns:
        A `keras_tuner.Objective`, or a list of them.

    Raises:
        ValueError: if there is no such objective, its direction is the
            other one, or a list has it twice.

    Example:

    >>> make_objective("val_expression_accuracy", data.tasks)

    Reference:

    - [Chen et al., 2021](https://arxiv.org/abs/2012.04193), the accuracy on
      noisy labels
    """
    # KerasTuner's own container of a list.
    objective = getattr(objective, "objectives", objective)
    if not isinstance(objective, list) or not objective:
        return _check_objective(objective, tasks)
    checked = [_check_objective(each, tasks) for each in objective]
    names = [each.name for each in checked]
    if len(set(names)) < len(names):
        raise ValueError(
            f"`objective` must have each name once. Received: {names}"
        )
    return checked


def _check_objective(objective, tasks):
    name = getattr(objective, "name", objective)
    directions = objective_directions(tasks) if tasks else DIRECTIONS
    if name == "val_annotator_agreement" and name not in directions:
        raise ValueError(
            f"`objective` must not be '{name}' where no task has several "
            f"annotators. Received: {tasks}"
        )
    if not isinstance(name, str) or name not in directions:
        raise ValueError(
            "`objective` must be one of what is known of held-out images, "
            f"{', '.join(directions)}. Received: {name!r}"
        )
    direction = getattr(objective, "direction", directions[name])
    if direction != directions[name]:
        raise ValueError(
            f"`objective` must have the direction '{directions[name]}' for "
            f"'{name}'. Received: {direction!r}"
        )
    return keras_tuner.Objective(name, direction)


class SelectionObjectives(keras.callbacks.Callback):
    """Adds the objectives that Keras does not log to each epoch's logs.

    Args:
        images: `tf.data.Dataset` of held-out batches `(image, labels)`; the
            labels are not read.
        targets: Joint losses of the generators and of the discriminator that
            `"joint_loss_distance"` is measured from.
    """

    def __init__(self, images: Any, targets: Sequence[float] = PAPER_TARGETS):
        super().__init__()
        self._images = images.map(lambda image, labels: image)
        self._targets = targets

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["val_consensus_loss"] = sum(
            logs[f"val_{task.name}_loss"] for task in self.model.tasks
        )
        losses = (logs["generator_joint_loss"], logs["discriminator_loss"])
        logs["joint_loss_distance"] = float(
            np.abs(np.subtract(losses, self._targets)).sum()
        )
        agreement = annotator_agreement(self.model, self._images)
        if agreement is not None:
            logs["val_annotator_agreement"] = agreement


def annotator_agreement(model: MultiTaskModel, images: Any) -> float | None:
    """How far a model's heads of the same task agree.

    Args:
        model: A `MultiTaskModel`.
        images: `tf.data.Dataset` of batches of images, of fixed order.

    Returns:
        The mean over all pairs of heads of a task, all images and all tasks
        with several annotators: 1 or 0 for the same or another most probable
        class; for values 1 minus half their distance, which is 0 for -1
        and 1. None if no task has several annotators.
    """
    tasks = [task for task in model.tasks if task.annotators > 1]
    if not tasks:
        return None
    totals, count = np.zeros(len(tasks)), 0
    for batch in images:
        outputs = model.encoder(batch, training=False)["labels"]
        for index, task in enumerate(tasks):
            heads = np.array(outputs[task.name])
            totals[index] += len(heads) * _mean_agreement(task, heads)
        count += len(batch)
    return float(np.mean(totals / count))


def _mean_agreement(task, heads):
    first, second = np.triu_indices(task.annotators, k=1)
    if isinstance(task, CategoricalTask):
        classes = heads.argmax(axis=-1)
        return np.mean(classes[:, first] == classes[:, second])
    values = heads.clip(-1.0, 1.0)
    return 1 - np.mean(np.abs(values[:, first] - values[:, second])) / 2
