"""Terms that keep any model from memorizing wrong labels."""

import re
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_noisyfer.arguments import (
    check_number,
    constructor_config,
    describe,
    one_line,
)
from keras_noisyfer.batches import Batch
from keras_noisyfer.distribution import gather_over_replicas
from keras_noisyfer.labels import weigh_labels
from keras_noisyfer.losses.streams import stream_mean
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Labels, Tasks, Tensor
from keras_noisyfer.value_checks import first_where, require

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

# Probabilities are kept this far from 0 and 1, so that the logarithm and its
# slope are bounded.
_MARGIN = 1e-4


class Regularizer(keras.layers.Layer):
    """A term that any model of noisy labels adds to its loss in training.

    A subclass says what the term is, in `call(batch, outputs)`: a scalar. It
    may create variables for the tasks in `build_for(tasks)`, and change them
    in `call`: they are saved with the model, and restored after a step with a
    fault. They are not trained. The logs have the term under the name, without
    `strength`. To be saved, each argument of the constructor has to be an
    attribute.

    Args:
        strength: Weight of the term, at least 0.
        name: Name of the regularizer; by default that of its class, in snake
            case.

    Example:

    >>> @keras.saving.register_keras_serializable()
    ... class MeanEntropy(Regularizer):
    ...     '''Minus the entropy of the mean prediction: no class dies out.'''
    ...
    ...     def call(self, batch, outputs):
    ...         p = ops.mean(ops.softmax(outputs["expression"]), axis=0)
    ...         return ops.sum(p * ops.log(p + 1e-6))
    >>> model = JointDistributionGAN(encoder, regularizers=[MeanEntropy(0.1)])
    """

    # Whether it can be used on mixed images, of which `batch.labels` are those
    # of the larger part.
    takes_mixtures = True

    def __init__(self, strength: float = 1.0, name: str | None = None):
        if not isinstance(name, str | None):
            raise ValueError(f"`name` must be a string. Received: {name!r}")
        if name is None:
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__)
        super().__init__(dtype="float32", name=name.lower())
        check_number("strength", strength, minimum=0)
        self.strength = strength
        self.tracker = keras.metrics.Mean(name=self.name)

    def build_for(self, tasks: Tasks) -> None:
        """Creates variables for the model's tasks."""

    def call(self, batch: Batch, outputs: Labels) -> Tensor:
        """The term, a scalar.

        Args:
            batch: A `keras_noisyfer.batches.Batch`: `images`, `labels` (a dict
                by task name, with an annotator axis), `index` (or None).
            outputs: The encoder's raw outputs, a dict by task name of shape
                `(batch_size, annotators, num_outputs)`: logits or values.
        """
        raise NotImplementedError(
            f"A {type(self).__name__} must have `call(batch, outputs)`"
        )

    def __call__(self, batch: Batch, outputs: Labels) -> Tensor:
        term = self.call(batch, outputs)
        if term is None or tuple(getattr(term, "shape", ())) != ():
            raise ValueError(
                f"`call` of the regularizer {self.name!r} must make a scalar. "
                f"Received: {describe(term)}"
            )
        self.tracker.update_state(term, sample_weight=batch.weight)
        return self.strength * term

    def get_config(self) -> dict[str, Any]:
        return constructor_config(self, Regularizer)


def check_regularizers(
    regularizers: Sequence[Regularizer], tasks: Tasks
) -> list[Regularizer]:
    """Regularizers of a model, built for its tasks, as a list.

    Raises:
        ValueError: if there is something else among them, or one twice.
    """
    if not isinstance(regularizers, (list, tuple)):
        raise ValueError(
            "`regularizers` must be a list of Regularizer objects. "
            f"Received: {regularizers!r}"
        )
    regularizers = list(regularizers)
    for each in regularizers:
        if not isinstance(each, Regularizer):
            raise ValueError(
                "`regularizers` must hold Regularizer objects, such as "
                f"EarlyLearning(num_images). Received: {each!r}"
            )
        if each.built:
            raise ValueError(
                "`regularizers` must be new ones for each model. Received: "
                f"{each.name!r}, which belongs to another"
            )
    names = [each.name for each in regularizers]
    if len(set(names)) < len(names):
        raise ValueError(
            f"`regularizers` must have different names. Received: {names}"
        )
    for each in regularizers:
        each.build_for(tasks)
        each.built = True
        if each.trainable_variables:
            raise ValueError(
                "`regularizers` must have variables with trainable=False, "
                f"which no optimizer updates. Received: {each.name!r}"
            )
        try:
            type(each).from_config(each.get_config())
        except Exception as error:
            raise ValueError(
                "`regularizers` must be made again from their `get_config`, "
                f"to be saved. Received: {each.name!r}, {one_line(error)}"
            ) from None
    return regularizers


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class EarlyLearning(Regularizer):
    """Early-learning regularization (ELR).

    A network fits correct labels first and memorizes wrong ones later. Each
    image and categorical label stream therefore has a target `t`, the moving
    average of its predicted class probabilities `p`, which starts at 0,

    `t <- momentum * t + (1 - momentum) * p`

    and the term is, summed over those streams,

    `mean log(1 - <p, t>)`.

    No gradient passes through `t`. The term's gradient cancels that of a
    label which the target disagrees with, and sustains that of one it agrees
    with. The mean is over the batch's given labels: where a label is missing
    there is no gradient to balance, and the term alone would only harden the
    network's own guess. Continuous tasks have their usual losses alone.

    The model has to know which images a batch holds. It is trained on
    elements `({"image": ..., "index": ...}, labels)`, as
    `LabelledImages.batches` makes them with `with_index=True`, and evaluated
    on any; the evaluated `loss` is without the term.

    Args:
        num_images: Number of training images; their indices are below it.
        momentum: Of the targets, in [0, 1); 0.7 on CIFAR-10.
        strength: Weight of the term, lambda in its paper, at least 0; 3 on
            CIFAR-10.
        name: Name of the regularizer.

    Raises:
        ValueError: if an argument is out of its range, or no task of the
            model is categorical.

    Example:

    >>> regularizer = EarlyLearning(num_images=len(data))
    >>> model = MultiTaskModel(encoder, regularizers=[regularizer])
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> batches = data.batches(training=True, with_index=True)
    >>> model.fit(batches, epochs=30)

    Reference:

    - [Liu et al., 2020](https://arxiv.org/abs/2007.00151)
    """

    # A mixture has no target.
    takes_mixtures = False

    def __init__(
        self,
        num_images: int,
        momentum: float = 0.7,
        strength: float = 3.0,
        name: str = "early_learning",
    ):
        super().__init__(strength, name=name)
        check_number("num_images", num_images, minimum=1, integer=True)
        check_number("momentum", momentum, minimum=0, below=1)
        self.num_images = int(num_images)
        self.momentum = momentum

    def build_for(self, tasks: Tasks) -> None:
        self.tasks = [t for t in tasks if isinstance(t, CategoricalTask)]
        if not self.tasks:
            raise ValueError(
                "EarlyLearning needs a categorical task, for others there is "
                f"nothing to regularize. Received: {list(tasks)}"
            )
        self.targets = {
            task.name: self.add_weight(
                name=f"{task.name}_targets",
                shape=(self.num_images, task.annotators, task.num_classes),
                dtype="float32",
                initializer="zeros",
                trainable=False,
                aggregation="sum",
            )
            for task in self.tasks
        }

    def call(self, batch: Batch, outputs: Labels) -> Tensor:
        # Before the term, which sees the average with this prediction.
        targets = self.update_targets(outputs, self.check_index(batch.index))
        return self.compute_term(batch, outputs, targets)

    def check_index(self, index: Tensor) -> Tensor:
        """The indices of a batch's images, int32, if they are right.

        Raises:
            ValueError: if there are none, or one is out of its range.
        """
        if index is None:
            raise ValueError(
                "A training batch must have the index of each image, "
                "({'image': ..., 'index': ...}, labels); make the data set "
                "with `with_index=True`. Received: images without"
            )
        index = ops.cast(index, "int32")
        clipped = ops.clip(index, 0, self.num_images - 1)
        wrong = ops.not_equal(index, clipped)
        require(
            ops.logical_not(ops.any(wrong)),
            "`index` of a batch must be from 0 to "
            f"{self.num_images - 1}, below `num_images`. Received:",
            first_where(wrong, index),
        )
        # So that it is this check that fails, and not a look-up after it.
        return clipped

    def update_targets(
        self, outputs: Labels, index: Tensor
    ) -> dict[str, Tensor]:
        """Moves the targets of a batch's images towards the predictions.

        Args:
            outputs: The encoder's raw `labels`, a dict by task name.
            index: Indices of the images, int32 of shape `(batch_size,)`.

        Returns:
            A dict by task name of the new targets of these images,
            `(batch_size, annotators, num_classes)`.
        """
        # An image that occurs several times moves its target by their mean.
        indices = gather_over_replicas(index)
        occurs = ops.equal(ops.expand_dims(index, 1), indices)
        times = ops.sum(ops.cast(occurs, "float32"), axis=1)
        times = ops.reshape(times, (-1, 1, 1))
        updated = {}
        for task in self.tasks:
            targets = self.targets[task.name]
            probabilities = _probabilities(task, outputs)
            # Clipping left a sum other than 1.
            probabilities /= ops.sum(probabilities, axis=-1, keepdims=True)
            before = ops.take(targets.value, index, axis=0)
            step = (1.0 - self.momentum) * (probabilities - before)
            step = ops.stop_gradient(step)
            updated[task.name] = before + step
            # A factor 1 / times would be rounded, even if it is 1.
            step /= times
            # Added and not assigned: replicas add up to the same targets.
            if keras.backend.backend() == "tensorflow":
                targets.value.scatter_add(tf.IndexedSlices(step, index))
            else:
                targets.assign(targets.value.at[index].add(step))
        return updated

    def compute_term(
        self, batch: Batch, outputs: Labels, targets: Labels
    ) -> Tensor:
        """The term, a scalar of at most 0, without `strength`."""
        total = 0.0
        for task in self.tasks:
            name = task.name
            agreement = ops.sum(
                _probabilities(task, outputs)
                * ops.stop_gradient(targets[name]),
                axis=-1,
            )
            present = ops.cast(task.present(batch.labels[name]), "float32")
            weights = weigh_labels(
                ops.squeeze(present, axis=-1),
                batch.sample_weight and batch.sample_weight[name],
            )
            streams = stream_mean(ops.log(1.0 - agreement), weights)
            total += ops.sum(streams)
        return total


def _probabilities(task, outputs):
    probabilities = task.activate(ops.cast(outputs[task.name], "float32"))
    return ops.clip(probabilities, _MARGIN, 1.0 - _MARGIN)
