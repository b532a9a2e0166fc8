"""LTNet: one latent truth and how each annotator mislabels it."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.models.annotator_model import (
    AnnotatorModel,
    identity_matrices,
)
from keras_noisyfer.networks import Encoder
from keras_noisyfer.typing import Labels, Tasks, Tensor


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class RowsOnSimplex(keras.constraints.Constraint):
    """Keeps the rows of matrices probabilities.

    Negative entries become 0, then each row is divided by its sum. A row
    without a positive entry becomes uniform.
    """

    def __call__(self, w: Tensor) -> Tensor:
        w = ops.maximum(w, 0.0)
        totals = ops.sum(w, axis=-1, keepdims=True)
        return ops.where(totals > 0.0, w / totals, 1.0 / w.shape[-1])


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class LTNet(AnnotatorModel):
    """One latent truth, and for each annotator a learned transition matrix.

    The encoder predicts the truth, `p(y | x)`. What annotator a says of a
    class is the truth seen through a matrix,
    `p_a(j | x) = sum_i p(i | x) T[a, i, j]` with
    `T[a, i, j] = p(annotator a says j | truth i)`, and the loss of a
    categorical task is

    `annotators * mean over the given labels y of -log p_a(y | x)`

    where annotator a gave y; if all labelled all images, the sum over
    annotators of their mean cross entropies. Continuous tasks have no
    matrix: their one prediction is compared with every annotator's labels.
    The model predicts, and is evaluated by, the truth.

    Nothing but their beginning tells the matrices which class is which: they
    start at the identity and stay there while `warmup_epochs` of plain
    training give the encoder a rough idea of the truth.

    A sure encoder with noisy matrices and an unsure one with matrices near
    the identity can explain labels equally well. LTNet leaves it to training
    which of them it finds. With `trace_weight` the loss has a penalty of that
    weight on the sum over annotators of the mean of their matrices'
    diagonals, which prefers the first and takes about
    `trace_weight * T (1 - T)` too much off a diagonal entry T.

    Args:
        encoder: An `Encoder` with the tasks of the model, one annotator
            each: the latent truth.
        tasks: Sequence of tasks with any number of annotators, those of the
            data.
        warmup_epochs: Number of first epochs in which the matrices stay at
            the identity. They are counted over calls of `fit` and saved with
            the model.
        trace_weight: Weight of the penalty on the diagonals, at least 0; 0
            is LTNet.
        **kwargs: See `MultiTaskModel`. Regularizers see the one prediction of
            the truth, and the labels of all annotators.

    Raises:
        ValueError: if an argument is out of its range, or the encoder's
            tasks are not `tasks` with one annotator each.

    Example:

    >>> tasks = [CategoricalTask("expression", num_classes=7, annotators=3)]
    >>> encoder = Encoder(
    ...     [task.with_annotators(1) for task in tasks], (48, 48, 3)
    ... )
    >>> model = LTNet(encoder, tasks, warmup_epochs=5)
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> model.fit(dataset, epochs=30)
    >>> model.transition_matrices["expression"].shape
    (3, 7, 7)

    Reference:

    - [Zeng, Shan and Chen, "Facial Expression Recognition with Inconsistently
      Annotated Datasets", ECCV 2018](
      https://doi.org/10.1007/978-3-030-01261-8_14)
    - [Tanno et al., 2019](https://arxiv.org/abs/1902.03680), for the penalty
    """

    def __init__(
        self,
        encoder: Encoder,
        tasks: Tasks,
        warmup_epochs: int = 5,
        trace_weight: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(encoder, tasks, **kwargs)
        check_number("warmup_epochs", warmup_epochs, minimum=0, integer=True)
        check_number("trace_weight", trace_weight, minimum=0)
        self.warmup_epochs = warmup_epochs
        self.trace_weight = trace_weight
        self.transitions = {
            task.name: self._add_transitions(task)
            for task in self.categorical_tasks
        }

    def _add_transitions(self, task):
        return self.add_weight(
            name=f"{task.name}_transitions",
            shape=(task.annotators, task.num_classes, task.num_classes),
            dtype="float32",
            initializer=identity_matrices,
            constraint=RowsOnSimplex(),
        )

    @property
    def transition_matrices(self) -> dict[str, np.ndarray]:
        return {
            name: np.array(ops.convert_to_numpy(each))
            for name, each in self.transitions.items()
        }

    def predict_annotators(self, outputs: Labels) -> dict[str, Tensor]:
        # Log-probabilities of classes; values.
        raw = {}
        for task in self.tasks:
            output = outputs[task.name]
            if task.name in self.transitions:
                truth = task.activate(output)[:, 0]
                matrices = self._moving_matrices(task.name)
                said = ops.einsum("bi,aij->baj", truth, matrices)
                raw[task.name] = ops.log(said + keras.config.epsilon())
            else:
                raw[task.name] = ops.repeat(output, task.annotators, axis=1)
        return raw

    def compute_penalty(self) -> Tensor:
        """`trace_weight` times the sum over annotators of the mean of their
        matrices' diagonals; a scalar."""
        diagonals = [
            ops.sum(
                ops.mean(
                    ops.diagonal(self._moving_matrices(name), axis1=1, axis2=2),
                    axis=-1,
                )
            )
            for name in self.transitions
        ]
        return self.trace_weight * sum(diagonals)

    def compute_objective(
        self,
        labels: Labels,
        outputs: Labels,
        sample_weight: Labels | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `AnnotatorModel`; with the penalty on the diagonals."""
        loss, losses = super().compute_objective(labels, outputs, sample_weight)
        return loss + self.compute_penalty(), losses

    def _moving_matrices(self, name):
        matrices = ops.convert_to_tensor(self.transitions[name])
        # In the step, not when it is traced: the epochs are counted on.
        moving = self.completed_epochs >= self.warmup_epochs
        matrices = ops.where(moving, matrices, ops.stop_gradient(matrices))
        # The rows add up to 1 already. This takes the part out of their
        # gradient that would lengthen them: Adam, which takes steps of about
        # one size for all entries, would follow it towards uniform rows.
        return matrices / ops.sum(matrices, axis=-1, keepdims=True)

    @property
    def annotator_variables(self) -> list[keras.Variable]:
        return list(self.transitions.values())
