"""Models of one latent truth and of what each annotator makes of it."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_noisyfer.models.multi_task import MultiTaskModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.tasks import check_tasks
from keras_noisyfer.typing import Labels, Tasks, Tensor


class AnnotatorModel(MultiTaskModel):
    """An encoder of the truth, and variables of each annotator.

    The losses compare what the annotators would say of an image,
    `predict_annotators`, with what they said, each label as much as any
    other: a task's loss is that of all labels of the batch, times the number
    of annotators. The model predicts, and is evaluated by, the truth.

    Args:
        encoder: An `Encoder` with the tasks of the model, one annotator
            each: the latent truth.
        tasks: Sequence of tasks with any number of annotators, those of the
            data, most of whose labels may be missing.
        **kwargs: See `MultiTaskModel`. Regularizers see the one prediction of
            the truth, and the labels of all annotators.

    Raises:
        ValueError: if the encoder's tasks are not `tasks` with one annotator
            each.
    """

    pools_annotators = True

    def __init__(self, encoder: Encoder, tasks: Tasks, **kwargs: Any):
        super().__init__(encoder, **kwargs)
        tasks = check_tasks(tasks)
        expected = tuple(task.with_annotators(1) for task in tasks)
        if encoder.tasks != expected:
            raise ValueError(
                "`encoder` must have the tasks of `tasks` with one annotator "
                f"each, {list(expected)}. Received: {list(encoder.tasks)}"
            )
        self.tasks = tasks

    def predict_annotators(self, outputs: Labels) -> dict[str, Tensor]:
        """What each annotator would say.

        Args:
            outputs: The encoder's raw `labels`, a dict by task name.

        Returns:
            A dict by task name of raw outputs of shape
            `(batch_size, annotators, num_outputs)`.
        """
        raise NotImplementedError

    @property
    def transition_matrices(self) -> dict[str, np.ndarray]:
        """Dict by categorical task of NumPy arrays `(annotators, num_classes,
        num_classes)`: row i holds what an annotator says of class i."""
        raise NotImplementedError

    @property
    def annotator_variables(self) -> list[keras.Variable]:
        """The annotators' trainable variables."""
        raise NotImplementedError

    @property
    def trained_variables(self) -> list[keras.Variable]:
        return [*self.encoder.trainable_variables, *self.annotator_variables]

    def compute_objective(
        self,
        labels: Labels,
        outputs: Labels,
        sample_weight: Labels | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `MultiTaskModel`; of what the annotators would say."""
        raw = self.predict_annotators(outputs)
        counts = {task.name: task.annotators for task in self.tasks}
        # As those of one annotator: a mean over each one's few labels of a
        # batch would weigh a label the more, the fewer its annotator gives.
        pooled: list[Labels] = [
            keras.tree.map_structure(
                lambda each: ops.reshape(each, (-1, 1, *each.shape[2:])), group
            )
            for group in (labels, raw)
        ]
        weights = sample_weight and {
            name: ops.repeat(each, counts[name])
            for name, each in sample_weight.items()
        }
        losses = self.compute_task_losses(pooled[0], pooled[1], weights)
        losses = {name: counts[name] * each for name, each in losses.items()}
        return self.weigh_task_losses(losses), losses


def identity_matrices(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
    """An identity matrix an annotator, as an initializer."""
    return ops.broadcast_to(ops.eye(shape[-1], dtype=dtype), shape)
