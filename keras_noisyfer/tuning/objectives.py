"""What a search can be guided by where no label is clean."""

import keras
import keras_tuner
import numpy as np

from keras_noisyfer.tasks import CategoricalTask

# The paper's two best models: generator's and discriminator's joint loss.
PAPER_TARGETS = (2.6, 0.45)
DIRECTIONS = {
    "val_consensus_loss": "min",
    "joint_loss_distance": "min",
    "val_annotator_agreement": "max",
}


def make_objective(name):
    """The objective of a search, by name.

    - `"val_consensus_loss"`: the loss of the consensus on the noisy labels of
      held-out images, summed over the tasks without `gamma`: `val_loss` would
      be the smaller the smaller gamma is.
    - `"joint_loss_distance"`: how far the joint losses of the generators and
      of the discriminator are from targets, as the sum of both distances
      (the second strategy of the paper, App. D).
    - `"val_annotator_agreement"`: how far the annotators' heads agree on
      held-out images, from 0 to 1. Heads that have learned nothing agree
      too; so look at `val_consensus_loss` beside it.

    Args:
        name: One of the names above.

    Returns:
        A `keras_tuner.Objective`.

    Raises:
        ValueError: if there is no such objective.
    """
    if name not in DIRECTIONS:
        raise ValueError(
            f"`objective` must be one of {', '.join(DIRECTIONS)}. "
            f"Received: {name!r}"
        )
    return keras_tuner.Objective(name, DIRECTIONS[name])


class SelectionObjectives(keras.callbacks.Callback):
    """Adds the objectives that Keras does not log to each epoch's logs.

    Args:
        images: `tf.data.Dataset` of held-out batches `(image, labels)`; the
            labels are not read.
        targets: Joint losses of the generators and of the discriminator that
            `"joint_loss_distance"` is measured from.
    """

    def __init__(self, images, targets=PAPER_TARGETS):
        super().__init__()
        self._images = images.map(lambda image, labels: image)
        self._targets = targets

    def on_epoch_end(self, epoch, logs=None):
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


def annotator_agreement(model, images):
    """How far a model's heads of the same task agree.

    Args:
        model: A `MultiTaskClassifier`.
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
