"""Plain training of an encoder on noisy multi-task labels."""

import keras
from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.checkpoints import ResumeTraining
from keras_noisyfer.distribution import check_strategy
from keras_noisyfer.labels import (
    check_consensus,
    consensus,
    invert_consensus,
    standardize_labels,
)
from keras_noisyfer.metrics import metrics_for
from keras_noisyfer.models.batch_checks import (
    check_arrays,
    check_batch_images,
    check_batch_labels,
    check_batch_size,
    one_line_errors,
)
from keras_noisyfer.models.steps import PlainStep, keep_values
from keras_noisyfer.models.training import (
    CountEpochs,
    batch_shapes,
    build_optimizer,
    check_optimizer,
    check_shards,
    is_tf_dataset,
    make_losses,
    metric_results,
)
from keras_noisyfer.networks import Encoder
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.tasks import CategoricalTask


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class MultiTaskClassifier(PlainStep, keras.Model):
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
        inputs: Images in [-1, 1], shape `(batch_size, size, size, channels)`.
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
        self._evaluated_shapes = None
        self._evaluating = False

        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.task_loss_trackers = {
            task.name: keras.metrics.Mean(name=f"{task.name}_loss")
            for task in self.tasks
        }
        self.task_metrics = {t.name: metrics_for(t) for t in self.tasks}
        self.completed_epochs = self.add_weight(
            name="completed_epochs",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
        )
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

    def call(self, inputs, training=False):
        outputs = self.predictor(inputs, training=training)["labels"]
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

    def compute_task_losses(self, labels, outputs):
        """The loss of each task, summed over its label streams.

        Args:
            labels: Standardized labels, a dict by task name.
            outputs: The encoder's raw `labels`, a dict by task name.

        Returns:
            A dict by task name of scalars, without `gamma`.
        """
        return {
            name: loss(labels[name], outputs[name])
            for name, loss in self.losses_by_task.items()
        }

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

    def compute_objective(self, labels, outputs):
        """What plain training minimises.

        Args:
            labels: Standardized labels, a dict by task name.
            outputs: The encoder's raw `labels`, a dict by task name.

        Returns:
            A scalar, and the losses of the tasks in it, a dict by name.
        """
        losses = self.compute_task_losses(labels, outputs)
        return self.weigh_task_losses(losses), losses

    # === Training and evaluation ===

    def compile(
        self,
        optimizer=None,
        jit_compile=None,
        run_eagerly=False,
        steps_per_execution=1,
    ):
        """Configures training.

        Args:
            optimizer: Optimizer of the encoder. By default `FusedAdam`
                with learning rate 1e-4, as in the paper.
            jit_compile: Whether to compile the steps with XLA; by default
                on JAX alone. With TensorFlow it is slower on a CPU.
            run_eagerly: Whether to run the steps eagerly.
            steps_per_execution: Number of batches a call of the compiled
                step runs.
        """
        self._jit_compile_argument = jit_compile
        if jit_compile is None:
            jit_compile = keras.backend.backend() == "jax"
        super().compile(
            optimizer=optimizer or FusedAdam(),
            jit_compile=jit_compile,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
        )
        check_optimizer(self.optimizer)
        build_optimizer(self.optimizer, self.generator_variables)

    def get_compile_config(self):
        if not self.compiled:
            return None
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            # Of the argument, for a file may be loaded on another backend.
            "jit_compile": self._jit_compile_argument,
            "run_eagerly": self.run_eagerly,
            "steps_per_execution": self.steps_per_execution,
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, x=None, y=None, callbacks=None, **kwargs):
        """Trains the model; the arguments are those of `keras.Model.fit`.

        Raises:
            ValueError: if a batch is not in the data contract: shapes,
                dtypes, ranges, or fewer than two elements for a continuous
                task.
        """
        if is_tf_dataset(x):
            # Keras' default would warn that a data set shuffles itself.
            kwargs.setdefault("shuffle", False)
        validation_data = kwargs.get("validation_data")
        check_shards(
            self,
            kwargs.get("batch_size"),
            x=x,
            validation_data=validation_data,
        )
        callbacks = keras.tree.flatten(callbacks or [])
        for each in callbacks:
            if isinstance(each, ResumeTraining):
                each.set_data(x)
        # First, so that the others save a model whose epoch is counted.
        callbacks.insert(0, CountEpochs())
        check_arrays(self, x, y)
        with one_line_errors(), keep_values(self):
            return super().fit(x, y, callbacks=callbacks, **kwargs)

    def predict(self, *args, **kwargs):
        """Predicts the consensus; the arguments are those of
        `keras.Model.predict`."""
        with one_line_errors(), keep_values(self):
            return super().predict(*args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """Evaluates the consensus prediction; the arguments are those of
        `keras.Model.evaluate`."""
        check_shards(self, kwargs.get("batch_size"), x=x)
        check_arrays(self, x, *args[:1])
        shapes = batch_shapes(x, *args[:1], **kwargs)
        # One traced function for clean and noisy labels would have to take
        # labels of unknown rank.
        if shapes != self._evaluated_shapes:
            self.test_function = None
        self._evaluated_shapes = shapes
        self._evaluating = True
        try:
            with one_line_errors(), keep_values(self):
                return super().evaluate(x, *args, **kwargs)
        finally:
            self._evaluating = False

    def get_metrics_result(self):
        # Over all replicas Keras reads them here, not from the last step.
        evaluated = self.evaluation_metrics
        return metric_results(evaluated if self._evaluating else self.metrics)

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
        images, labels = self.unpack_batch(data)
        outputs = self.encoder(images, training=True)
        return [self.compute_tracked_loss(labels, outputs)]

    def compute_tracked_loss(self, labels, outputs, added=None):
        """The objective plus what is added to it, a scalar; updates the
        metrics."""
        raw = outputs["labels"]
        loss, losses = self.compute_objective(labels, raw)
        if added is not None:
            loss += added
        self.track(loss, losses, labels, self.predict_consensus(raw))
        return loss

    def predict_batch(self, data):
        """The consensus prediction for a batch of images."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        check_batch_images(images, self.encoder.image_shape)
        return self(images, training=False)

    def evaluate_batch(self, data):
        """Updates the metrics by a batch and returns their results."""
        images, labels = self.unpack_batch(data, evaluation=True)
        predictions = self(images, training=False)
        outputs = {
            task.name: invert_consensus(
                task, predictions[task.name], labels[task.name].shape[1]
            )
            for task in self.tasks
        }
        losses = self.compute_task_losses(labels, outputs)
        loss = self.weigh_task_losses(losses)
        self.track(loss, losses, labels, predictions)
        return metric_results(self.evaluation_metrics)

    def unpack_batch(self, data, evaluation=False):
        """Splits a batch into images and standardized labels.

        Raises:
            ValueError: if the batch is not `(image, labels)` in the data
                contract's shapes and dtypes.
        """
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if labels is None or weights is not None:
            raise ValueError(
                "A batch must be a pair (image, labels). Received: "
                + ("images alone" if labels is None else "sample weights")
            )
        check_batch_images(images, self.encoder.image_shape)
        labels = standardize_labels(self.tasks, labels, evaluation)
        check_batch_labels(self.tasks, labels)
        if not evaluation:
            check_batch_size(self.tasks, ops.shape(images)[0])
        return images, labels

    def track(self, loss, losses, labels, predictions):
        """Updates the trackers of the losses and the tasks' metrics."""
        count = ops.shape(next(iter(predictions.values())))[0]
        self.loss_tracker.update_state(loss, sample_weight=count)
        for name, tracker in self.task_loss_trackers.items():
            tracker.update_state(losses[name], sample_weight=count)
            for metric in self.task_metrics[name]:
                metric.update_state(labels[name], predictions[name])

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
