"""Plain training of an encoder on noisy multi-task labels."""

import types
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.batches import Batch
from keras_noisyfer.labels import (
    check_consensus,
    consensus,
    invert_consensus,
    weigh_images,
)
from keras_noisyfer.losses.by_task import make_loss_weights, make_losses
from keras_noisyfer.metrics import (
    LabelledMean,
    check_log_names,
    make_metrics,
    metric_results,
    metrics_for,
)
from keras_noisyfer.mixup import Mixup, check_mixup
from keras_noisyfer.models.base import ON_JAX, BaseModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.regularizers import Regularizer, check_regularizers
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Labels, Tensor, Updates

if ON_JAX:
    from keras_noisyfer.models import jax_training
else:
    import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class MultiTaskModel(BaseModel):
    """An encoder trained on the labels as they are: the paper's VGGNet.

    Minimizes the sum of the categorical tasks' losses plus `gamma` times
    that of the continuous ones, over all label streams; f in Eq. 10 of the
    paper. `compile` may weigh the tasks, and regularizers add their terms. The
    model predicts the consensus of the label streams.

    A baseline is a subclass: `training_losses(batch)` is what a training step
    minimizes, `compute_task_losses` the tasks' losses in training and in
    evaluation. Each argument of its constructor has to be an attribute.

    Args:
        encoder: An `Encoder`. Its tasks are those of the model.
        gamma: Weight of the continuous tasks' losses, at least 0.
        consensus: `"mean"` or `"first"`; see `labels.consensus`.
        regularizers: Sequence of `Regularizer` objects, whose terms are added
            to the loss in training.
        mixup: `Mixup` of the training batches, or None.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Images in [-1, 1], shape `(batch_size, size, size, channels)`,
            or a dict with them under `image`.
        training: Whether to apply dropout and update batch statistics.

    Returns:
        A dict by task name: class probabilities of shape
        `(batch_size, num_classes)` or values in [-1, 1] of shape
        `(batch_size, dimensions)`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> tasks = [CategoricalTask("expression", num_classes=7, annotators=3)]
    >>> encoder = Encoder(tasks, image_shape=(48, 48, 3), width=0.25)
    >>> model = MultiTaskModel(encoder)
    >>> model.compile(
    ...     keras.optimizers.Adam(1e-3),
    ...     loss={"expression": losses.SparseSymmetricCrossentropy()},
    ... )
    >>> model.fit(dataset, epochs=10)
    """

    # Whether it can learn from mixed images.
    takes_mixtures = True
    # Whether the labels of all annotators of a task have one loss.
    pools_annotators = False

    def __init__(
        self,
        encoder: Encoder,
        gamma: float = 1.0,
        consensus: str = "mean",
        regularizers: Sequence[Regularizer] = (),
        mixup: Mixup | None = None,
        **kwargs: Any,
    ):
        super().__init__(encoder, **kwargs)
        check_consensus(consensus)
        check_number("gamma", gamma, minimum=0)
        self.gamma: Any = gamma
        self.consensus = consensus
        self.regularizers = check_regularizers(regularizers, self.tasks)
        check_mixup(mixup, [self, *self.regularizers])
        self.mixup = mixup
        # Those of `compile` without arguments.
        self.loss_by_task = make_losses(self.tasks)
        self._loss_weights = make_loss_weights(self.tasks)
        self.added_metrics = {task.name: [] for task in self.tasks}
        self.loss_tracker = LabelledMean(name="loss")
        self.task_loss_trackers = {
            task.name: LabelledMean(name=f"{task.name}_loss")
            for task in self.tasks
        }
        self.task_metrics = {t.name: metrics_for(t) for t in self.tasks}
        # The networks are built already, and there is nothing else to build.
        self.built = True

    def compile(
        self,
        optimizer: Any = None,
        loss: dict[str, Any] | None = None,
        loss_weights: dict[str, float] | None = None,
        metrics: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: See `BaseModel.compile`.
            loss: Optional dict by task name of losses: of
                `keras_noisyfer.losses`, or with one value a label, as those
                of Keras, which see class probabilities (logits with
                `from_logits=True`). By default
                `SparseCategoricalCrossentropy` and `ConcordanceLoss`.
            loss_weights: Optional dict by task name of numbers, 1 by
                default, which those of continuous tasks multiply `gamma`
                with.
            metrics: Optional dict by task name of Keras metrics, or lists of
                them, beside those of the tasks. They see the labels that are
                given, each with the consensus prediction, and the samples'
                weights. In the logs they are `<task>_<metric>`.
            **options: `jit_compile`, `run_eagerly`, `steps_per_execution` and
                `on_nonfinite`; see `BaseModel.compile`.

        Raises:
            ValueError: if a task is unknown, or a loss cannot read the
                labels of its task.
        """
        losses = make_losses(self.tasks, loss)
        weights = make_loss_weights(self.tasks, loss_weights)
        added = make_metrics(self.tasks, metrics)
        super().compile(optimizer, **options)
        self.loss_by_task, self._loss_weights = losses, weights
        self.added_metrics = added
        check_log_names(self.metrics)
        self._metrics_argument = metrics

    def get_compile_config(self) -> dict[str, Any] | None:
        config = super().get_compile_config()
        if config is not None:
            serialize = keras.saving.serialize_keras_object
            config["loss"] = serialize(self.loss_by_task)
            config["loss_weights"] = dict(self.loss_weights)
            config["metrics"] = serialize(self._metrics_argument)
        return config

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """The tasks' weights by name, as `compile` has set them."""
        return types.MappingProxyType(self._loss_weights)

    @property
    def categorical_tasks(self) -> list[CategoricalTask]:
        """List of the tasks that are classes."""
        return [t for t in self.tasks if isinstance(t, CategoricalTask)]

    def unpack_batch(self, data: Any, evaluation: bool = False) -> Batch:
        batch = super().unpack_batch(data, evaluation)
        if self.mixup is None or evaluation:
            return batch
        return self.mixup(batch, self.tasks)

    # === Prediction ===

    @property
    def predictor(self) -> keras.Model:
        """The network whose raw `labels` the predictions are made of."""
        return self.encoder

    def call(self, inputs: Any, training: bool = False) -> dict[str, Tensor]:
        images = inputs["image"] if isinstance(inputs, dict) else inputs
        outputs = self.predictor(images, training=training)["labels"]
        return self.predict_consensus(outputs)

    def predict_consensus(self, outputs: Labels) -> dict[str, Tensor]:
        """The consensus prediction of each task.

        Args:
            outputs: The encoder's raw `labels`, a dict by task name.

        Returns:
            A dict by task name, as `call` returns it.
        """
        return {
            task.name: consensus(task, outputs[task.name], self.consensus)
            for task in self.tasks
        }

    # === Objective ===

    def compute_task_losses(
        self,
        labels: Labels,
        outputs: Labels,
        sample_weight: Labels | None = None,
    ) -> dict[str, Tensor]:
        """The loss of each task, summed over its label streams.

        Args:
            labels: Standardized labels, a dict by task name.
            outputs: The encoder's raw `labels`, a dict by task name.
            sample_weight: Dict by task name of weights of the images, or
                None.

        Returns:
            A dict by task name of scalars, without their weights.
        """
        return {
            name: loss(
                labels[name],
                outputs[name],
                None if sample_weight is None else sample_weight[name],
            )
            for name, loss in self.loss_by_task.items()
        }

    @property
    def gamma_value(self) -> Tensor:
        """The weight of the continuous tasks' losses."""
        return self.gamma

    def weigh_task_losses(self, losses: Labels) -> Tensor:
        """Sum of the task losses, the continuous ones times `gamma`."""
        return sum(
            losses[task.name]
            * self.loss_weights[task.name]
            * (1.0 if isinstance(task, CategoricalTask) else self.gamma_value)
            for task in self.tasks
        )

    def compute_objective(
        self,
        labels: Labels,
        outputs: Labels,
        sample_weight: Labels | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What plain training minimizes; arguments of `compute_task_losses`.

        Returns:
            A scalar, and the losses of the tasks in it, a dict by name.
        """
        losses = self.compute_task_losses(labels, outputs, sample_weight)
        return self.weigh_task_losses(losses), losses

    def training_losses(self, batch: Batch) -> list[Tensor]:
        """Runs a training batch through the encoder; updates the metrics.

        Args:
            batch: A `Batch`.

        Returns:
            List of a scalar for each of `updates`.
        """
        outputs = self.encoder.encode(batch.images)
        labels, added = outputs["labels"], outputs["added_loss"]
        return [self.tracked_loss(batch, labels, added)]

    def tracked_loss(
        self, batch: Batch, outputs: Labels, added: Tensor | None = None
    ) -> Tensor:
        """The objective, the regularizers' terms, and what is added to them:
        a scalar; updates the metrics."""
        loss, losses = batch.weigh(
            lambda labels, weights: self.compute_objective(
                labels, outputs, weights
            )
        )
        for each in self.regularizers:
            loss += each(batch, outputs)
        if added is not None:
            loss += added
        self.track(batch, loss, losses, self.predict_consensus(outputs))
        return loss

    def track(
        self, batch: Batch, loss: Tensor, losses: Labels, predictions: Labels
    ) -> None:
        """Updates the trackers of the losses and the tasks' metrics.

        A task's loss counts as often as images have its labels, and the sum
        of all as often as images have any.
        """
        labelled = []
        for task in self.tasks:
            name = task.name
            labels = batch.labels[name]
            weights = batch.sample_weight and batch.sample_weight[name]
            least = self.loss_by_task[name].least_labels
            each, count = weigh_images(
                task, labels, weights, least, self.pools_annotators
            )
            self.task_loss_trackers[name].update_state(
                losses[name], sample_weight=count
            )
            for metric in (*self.task_metrics[name], *self.added_metrics[name]):
                metric.update_state(labels, predictions[name], weights)
            labelled.append(each)
        count = ops.sum(ops.max(ops.stack(labelled), axis=0))
        self.loss_tracker.update_state(loss, sample_weight=count)

    @property
    def evaluation_metrics(self) -> list[keras.metrics.Metric]:
        """The metrics that `evaluate` reports."""
        groups = *self.task_metrics.values(), *self.added_metrics.values()
        return [
            self.loss_tracker,
            *self.task_loss_trackers.values(),
            *(each for group in groups for each in group),
        ]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        regularizers = [each.tracker for each in self.regularizers]
        return [*self.evaluation_metrics, *regularizers]

    # === The steps ===

    @property
    def updates(self) -> Updates:
        """What a step updates: list of pairs of an optimizer and its
        variables."""
        return [(self.optimizer, self.trained_variables)]

    def train_step(self, *arguments: Any) -> Any:
        if ON_JAX:
            return jax_training.train_step(self, *arguments)
        (data,) = arguments
        if not self.trainable_variables:
            warnings.warn(
                "The model does not have any trainable weights.", stacklevel=2
            )
        kept = self.fault_guard.keep(self)
        batch = self.unpack_batch(data)
        with tf.GradientTape() as tape:
            losses = self.training_losses(batch)
        fault = self.fault_guard.apply(self, tape, losses, self.updates)
        self.fault_guard.finish(self, fault, kept, batch.index)
        return self.get_metrics_result()

    def test_step(self, *arguments: Any) -> Any:
        if ON_JAX:
            return jax_training.test_step(self, *arguments)
        return self.evaluate_batch(*arguments)

    def evaluate_batch(self, data: Any) -> dict[str, Tensor]:
        """Updates the metrics by a batch and returns their results."""
        batch = self.unpack_batch(data, evaluation=True)
        predictions = self(batch.images, training=False)
        outputs = {
            task.name: invert_consensus(
                task,
                predictions[task.name],
                batch.labels[task.name].shape[1],
            )
            for task in self.tasks
        }
        losses = self.compute_task_losses(
            batch.labels, outputs, batch.sample_weight
        )
        self.track(batch, self.weigh_task_losses(losses), losses, predictions)
        return metric_results(self.evaluation_metrics)

    def predict_step(self, *arguments: Any) -> Any:
        if ON_JAX:
            return jax_training.predict_step(self, *arguments)
        return self.predict_batch(*arguments)

    def predict_batch(self, data: Any) -> dict[str, Tensor]:
        """The consensus prediction for a batch of images."""
        return self(self.unpack_images(data), training=False)
