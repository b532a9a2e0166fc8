"""The crowd layer: one head for the truth, a matrix an annotator."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_noisyfer.models.annotator_model import (
    AnnotatorModel,
    identity_matrices,
)
from keras_noisyfer.networks import Encoder
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Labels, Tasks, Tensor


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class CrowdLayer(AnnotatorModel):
    """One latent truth, and a layer an annotator that imitates them.

    The encoder predicts the truth, `p(y | x)`. The raw outputs of annotator a
    for a class are `p W_a`, of which a softmax makes probabilities, with a
    matrix that starts at the identity; for values `s_a p + b_a`, with a scale
    and a bias for each dimension. Everything is trained together, and the
    annotators' layers are left out of the predictions.

    Unlike `LTNet`'s, the matrices are no probabilities and need no warm-up.
    In training the loss is that of the annotators' labels, in evaluation that
    of the truth's prediction: their sizes cannot be compared.

    Args:
        encoder: An `Encoder` with the tasks of the model, one annotator
            each: the latent truth.
        tasks: Sequence of tasks with any number of annotators, those of the
            data.
        **kwargs: See `AnnotatorModel`.

    Example:

    >>> data = from_csv(
    ...     "labels.csv", "faces", tasks, columns, max_annotators=None
    ... )
    >>> single = [task.with_annotators(1) for task in data.tasks]
    >>> model = CrowdLayer(Encoder(single, (48, 48, 3)), data.tasks)
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> model.fit(data.batches((48, 48, 3), training=True), epochs=30)
    >>> names = data.annotators["expression"]
    >>> dict(zip(names, model.transition_matrices["expression"]))

    Reference:

    - [Rodrigues and Pereira, 2018](https://arxiv.org/abs/1709.01779)
    """

    def __init__(self, encoder: Encoder, tasks: Tasks, **kwargs: Any):
        super().__init__(encoder, tasks, **kwargs)
        self.matrices, self.scales, self.biases = {}, {}, {}
        for task in self.tasks:
            name, shape = task.name, (task.annotators, task.num_outputs)
            if isinstance(task, CategoricalTask):
                self.matrices[name] = self.add_weight(
                    name=f"{name}_matrices",
                    shape=(*shape, task.num_outputs),
                    initializer=identity_matrices,
                    dtype="float32",
                )
            else:
                self.scales[name], self.biases[name] = (
                    self.add_weight(
                        name=f"{name}_{kind}",
                        shape=shape,
                        initializer=initializer,
                        dtype="float32",
                    )
                    for kind, initializer in (
                        ("scales", "ones"),
                        ("biases", "zeros"),
                    )
                )

    def predict_annotators(self, outputs: Labels) -> dict[str, Tensor]:
        raw = {}
        for task in self.tasks:
            name, truth = task.name, outputs[task.name]
            if name in self.matrices:
                truth = task.activate(truth)[:, 0]
                matrices = ops.convert_to_tensor(self.matrices[name])
                raw[name] = ops.einsum("bi,aij->baj", truth, matrices)
            else:
                raw[name] = truth * self.scales[name] + self.biases[name]
        return raw

    @property
    def transition_matrices(self) -> dict[str, np.ndarray]:
        """See `AnnotatorModel`. That of an annotator without labels stays as
        it began, the softmax of an identity matrix."""
        return {
            name: ops.convert_to_numpy(ops.softmax(each.value, axis=-1))
            for name, each in self.matrices.items()
        }

    @property
    def annotator_variables(self) -> list[keras.Variable]:
        groups = (self.matrices, self.scales, self.biases)
        return [each for group in groups for each in group.values()]
