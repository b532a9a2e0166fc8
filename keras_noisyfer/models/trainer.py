"""How models are compiled, trained and evaluated, whatever they minimise."""

import keras
from keras import ops

from keras_noisyfer.checkpoints import ResumeTraining
from keras_noisyfer.labels import standardize_labels
from keras_noisyfer.models.batch_checks import (
    check_arrays,
    check_batch_images,
    check_batch_index,
    check_batch_labels,
    check_batch_size,
    one_line_errors,
)
from keras_noisyfer.models.faults import (
    FaultRecord,
    StopAtFaults,
    check_on_nonfinite,
    raise_fault,
)
from keras_noisyfer.models.steps import PlainStep, keep_values
from keras_noisyfer.models.training import (
    CountEpochs,
    batch_shapes,
    build_optimizer,
    check_optimizer,
    check_shards,
    is_tf_dataset,
    metric_results,
)
from keras_noisyfer.optimizers import FusedAdam


class TaskTrainer(PlainStep, keras.Model):
    """What all models of noisy labels have in common but for the objective.

    A subclass has an `encoder`, `tasks`, `metrics`, a `loss_tracker` among
    them, and says what a step computes and updates; see
    `MultiTaskClassifier`.

    Args:
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._evaluated_shapes = None
        self._evaluating = False
        self.on_nonfinite = "raise"
        self.completed_epochs = self.add_weight(
            name="completed_epochs",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
        )
        self.faults = FaultRecord(name="faults")

    # === Training and evaluation ===

    def compile(
        self,
        optimizer=None,
        jit_compile=None,
        run_eagerly=False,
        steps_per_execution=1,
        on_nonfinite="raise",
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
            on_nonfinite: What a batch does whose losses or gradients are not
                all finite. `"raise"` stops training with a `NumericalFault`;
                `"skip"` goes on with the next batch, and the logs count the
                batches left out, `skipped_batches`. In both cases weights,
                optimizers and metrics stay as they were. `"skip"` needs a
                single TensorFlow device, or JAX.

        Raises:
            ValueError: if an argument is wrong.
        """
        check_on_nonfinite(self, on_nonfinite)
        self.on_nonfinite = on_nonfinite
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
            "on_nonfinite": self.on_nonfinite,
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, x=None, y=None, callbacks=None, **kwargs):
        """Trains the model; the arguments are those of `keras.Model.fit`.

        Raises:
            ValueError: if a batch is not in the data contract: shapes,
                dtypes, ranges, or fewer than two elements for a continuous
                task.
            NumericalFault: see `compile`; also if the validation loss, or a
                weight after an epoch, is not finite.
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
        resume = [
            each for each in callbacks if isinstance(each, ResumeTraining)
        ]
        if len(resume) > 1:
            # Each would wind the data on.
            raise ValueError(
                "`callbacks` must have at most one ResumeTraining. "
                f"Received: {len(resume)}"
            )
        for each in resume:
            each.set_data(x)
        # First, so that the others save a model whose epoch is counted and
        # whose last batch was sound.
        callbacks[:0] = self.make_callbacks()
        check_arrays(self, x, y)
        with one_line_errors(), keep_values(self):
            return super().fit(x, y, callbacks=callbacks, **kwargs)

    def make_callbacks(self):
        """The callbacks that every call of `fit` has."""
        return [CountEpochs(), StopAtFaults()]

    def train_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """Trains on one batch; the arguments are those of
        `keras.Model.train_on_batch`.

        Args:
            x: Images.
            y: Labels, a dict.
            sample_weight: Indices of the images, or None: what a
                `NumericalFault` tells of them.
            **kwargs: `return_dict`.

        Raises:
            NumericalFault: see `compile`.
        """
        with one_line_errors(), keep_values(self):
            logs = super().train_on_batch(x, y, sample_weight, **kwargs)
        raise_fault(self)
        return logs

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
        if self._evaluating:
            return metric_results(self.evaluation_metrics)
        results = metric_results(self.metrics)
        if self.on_nonfinite == "skip":
            results["skipped_batches"] = ops.convert_to_tensor(
                self.faults.skipped
            )
        return results

    # === In a step ===

    @property
    def loss_terms(self):
        """The losses that are tracked, in a step: list of pairs of a name and
        the sum over the epoch so far, which a loss that is not finite leaves
        not finite."""
        trackers = [
            each
            for each in self.metrics
            if isinstance(each, keras.metrics.Mean)
        ]
        # The sum of the others at last.
        trackers.sort(key=lambda each: each is self.loss_tracker)
        return [(each.name, each.total.value) for each in trackers]

    def mark_fault(self, fault):
        """Lets the logs of a step tell a fault that training is to stop at."""
        if self.on_nonfinite == "raise":
            self.loss_tracker.update_state(
                ops.where(fault > 0, float("nan"), 0.0),
                sample_weight=ops.where(fault > 0, 1.0, 0.0),
            )

    def unpack_batch(self, data, evaluation=False):
        """Splits a batch into images and standardized labels.

        Raises:
            ValueError: if the batch is not `(image, labels)` or `(image,
                labels, index)` in the data contract's shapes and dtypes.
        """
        images, labels, index = keras.utils.unpack_x_y_sample_weight(data)
        if labels is None:
            raise ValueError(
                "A batch must be a pair (image, labels). Received: images alone"
            )
        check_batch_images(images, self.encoder.image_shape)
        check_batch_index(index)
        labels = standardize_labels(self.tasks, labels, evaluation)
        check_batch_labels(self.tasks, labels)
        if not evaluation:
            check_batch_size(self.tasks, ops.shape(images)[0])
        return images, labels

    def batch_indices(self, data):
        """Which images a batch holds, or None if it does not tell."""
        return keras.utils.unpack_x_y_sample_weight(data)[2]
