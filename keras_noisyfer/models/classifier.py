"""Plain training of an encoder on noisy multi-task labels."""

import keras
from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.distribution import check_strategy
from keras_noisyfer.labels import (
    check_consensus,
    consensus,
    invert_consensus,
    weigh_images,
)
from keras_noisyfer.metrics import LabelledMean, metrics_for
from keras_noisyfer.models.batch_checks import check_inputs
from keras_noisyfer.models.trainer import TaskTrainer
from keras_noisyfer.models.training import make_losses, metric_results
from keras_noisyfer.networks import Encoder
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.value_checks import check_images, unchecked_images


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class MultiTaskClassifier(TaskTrainer):
    """An encoder trained on the labels as they are: the paper's VGGNet.

    Minimises the sum of the categorical tasks' losses plus `gamma` times
    that of the continuous ones, over all label streams; f in Eq. 10 of the
    paper. The model predicts the consensus of the label streams.

    Args:
        encoder: An `Encoder`. Its tasks are those of the model.
        gamma: Weight of the continuous tasks' losses, at least 0.
        losses: Optional dict by task name of `keras.losses.Loss` objects
            that take a task's labels and the encoder's raw outputs, both
            with an annotator axis. By default `CategoricalCrossentropy` and
            `ConcordanceLoss`.
        consensus: `"mean"` or `"first"`; see `labels.consensus`.
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
        ValueError: if an argument is out of its range or `losses` names an
            unknown task.

    Example:

    >>> tasks = [CategoricalTask("expression", num_classes=7, annotators=3)]
    >>> encoder = Encoder(tasks, image_shape=(48, 48, 3), width=0.25)
    >>> model = MultiTaskClassifier(encoder)
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> model.fit(dataset, epochs=10)
    """

    def __init__(
        self, encoder, gamma=1.0, losses=None, consensus="mean", **kwargs
    ):
        super().__init__(**kwargs)
        check_strategy()
        check_consensus(consensus)
        if not isinstance(encoder, Encoder):
            raise ValueError(
                "`encoder` must be an Encoder. "
                f"Received: {type(encoder).__name__}"
            )
        check_number("gamma", gamma, minimum=0)
        self.encoder = encoder
        self.tasks = encoder.tasks
        self.gamma = gamma
        self.consensus = consensus
        self.losses_by_task = make_losses(self.tasks, losses)
        self.loss_tracker = LabelledMean(name="loss")
        self.task_loss_trackers = {
            task.name: LabelledMean(name=f"{task.name}_loss")
            for task in self.tasks
        }
        self.task_metrics = {t.name: metrics_for(t) for t in self.tasks}
        # The networks are built already, and there is nothing else to build.
        self.built = True

    @property
    def categorical_tasks(self):
        """List of the tasks that are classes."""
        return [t for t in self.tasks if isinstance(t, CategoricalTask)]

    # === Prediction ===

    @property
    def predictor(self):
        """The network whose raw `labels` the predictions are made of."""
        return self.encoder

    def __call__(self, inputs, *args, **kwargs):
        # In `call` Keras would make many lines of an error.
        check_images(check_inputs(inputs), self.encoder.image_shape)
        with unchecked_images():
            return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=False):
        images = check_inputs(inputs)
        outputs = self.predictor(images, training=training)["labels"]
        return self.predict_consensus(outputs)

    def predict_consensus(self, outputs):
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

    def compute_task_losses(self, labels, outputs, sample_weight=None):
        """The loss of each task, summed over its label streams.

        Args:
            labels: Standardized labels, a dict by task name.
            outputs: The encoder's raw `labels`, a dict by task name.
            sample_weight: Dict by task name of weights of the images, or
                None.

        Returns:
            A dict by task name of scalars, without `gamma`.
        """
        losses = {}
        for name, loss in self.losses_by_task.items():
            parts = [labels[name], outputs[name]]
            if sample_weight is not None:
                parts.append(sample_weight[name])
            losses[name] = loss(*parts)
        return losses

    @property
    def gamma_value(self):
        """The weight of the continuous tasks' losses."""
        return self.gamma

    def weigh_task_losses(self, losses):
        """Sum of the task losses, the continuous ones times `gamma`."""
        return sum(
            losses[task.name]
            * (1.0 if isinstance(task, CategoricalTask) else self.gamma_value)
            for task in self.tasks
        )

    def compute_objective(self, labels, outputs, sample_weight=None):
        """What plain training minimises; arguments of `compute_task_losses`.

        Returns:
            A scalar, and the losses of the tasks in it, a dict by name.
        """
        losses = self.compute_task_losses(labels, outputs, sample_weight)
        return self.weigh_task_losses(losses), losses

    # === Training and evaluation ===

    @property
    def task_variables(self):
        """Variables that plain training, on the tasks' losses, updates."""
        return self.encoder.trainable_variables

    @property
    def plain_updates(self):
        """What a step of plain training updates: list of pairs of an
        optimizer and its variables."""
        return [(self.optimizer, self.task_variables)]

    @property
    def generator_variables(self):
        """Variables that `optimizer` updates."""
        return self.task_variables

    @property
    def metrics(self):
        return self.evaluation_metrics

    @property
    def evaluation_metrics(self):
        """The metrics that `evaluate` reports."""
        return [
            self.loss_tracker,
            *self.task_loss_trackers.values(),
            *(each for group in self.task_metrics.values() for each in group),
        ]

    def compute_training_losses(self, data):
        """What a step of plain training minimises; updates the metrics.

        Args:
            data: A training batch.

        Returns:
            List of a scalar for each of `plain_updates`.
        """
        images, labels, sample_weight = self.unpack_batch(data)
        outputs = self.encoder(images, training=True)
        return [self.compute_tracked_loss(labels, outputs, sample_weight)]

    def compute_tracked_loss(
        self, labels, outputs, sample_weight=None, added=None
    ):
        """The objective plus what is added to it, a scalar; updates the
        metrics."""
        raw = outputs["labels"]
        loss, losses = self.compute_objective(labels, raw, sample_weight)
        if added is not None:
            loss += added
        predictions = self.predict_consensus(raw)
        self.track(loss, losses, labels, predictions, sample_weight)
        return loss

    def predict_batch(self, data):
        """The consensus prediction for a batch of images."""
        return self(self.unpack_images(data), training=False)

    def evaluate_batch(self, data):
        """Updates the metrics by a batch and returns their results."""
        images, labels, sample_weight = self.unpack_batch(data, evaluation=True)
        predictions = self(images, training=False)
        outputs = {
            task.name: invert_consensus(
                task, predictions[task.name], labels[task.name].shape[1]
            )
            for task in self.tasks
        }
        losses = self.compute_task_losses(labels, outputs, sample_weight)
        loss = self.weigh_task_losses(losses)
        self.track(loss, losses, labels, predictions, sample_weight)
        return metric_results(self.evaluation_metrics)

    def track(self, loss, losses, labels, predictions, sample_weight):
        """Updates the trackers of the losses and the tasks' metrics.

        A task's loss counts as often as images have its labels, and the sum
        of all as often as images have any.
        """
        labelled = []
        for task in self.tasks:
            name = task.name
            given = sample_weight and sample_weight[name]
            least = getattr(self.losses_by_task[name], "least_labels", 1)
            weights, count = weigh_images(task, labels[name], given, least)
            self.task_loss_trackers[name].update_state(
                losses[name], sample_weight=count
            )
            for metric in self.task_metrics[name]:
                metric.update_state(labels[name], predictions[name], given)
            labelled.append(weights)
        count = ops.sum(ops.max(ops.stack(labelled), axis=0))
        self.loss_tracker.update_state(loss, sample_weight=count)

    # === Saving ===

    def get_config(self):
        config = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype_policy,
            "encoder": self.encoder,
            "gamma": self.gamma,
            "losses": self.losses_by_task,
            "consensus": self.consensus,
        }
        return keras.saving.serialize_keras_object(config)

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))
