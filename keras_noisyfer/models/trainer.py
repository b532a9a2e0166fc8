"""How models are compiled, trained and evaluated, whatever they minimise."""

import contextlib

import keras
from keras import ops

from keras_noisyfer.checkpoints import ResumeTraining
from keras_noisyfer.labels import mean_weights, standardize_labels
from keras_noisyfer.models.batch_checks import (
    check_batch_labels,
    check_batch_size,
    check_batch_weights,
    check_data,
    check_inputs,
    refuse_class_weight,
)
from keras_noisyfer.models.faults import (
    FaultRecord,
    StopAtFaults,
    check_on_nonfinite,
    raise_fault,
)
from keras_noisyfer.models.monitoring import WatchMonitors, WatchScale
from keras_noisyfer.models.second_optimizer import (
    PassOnLearningRate,
    prepare_optimizer,
)
from keras_noisyfer.models.steps import PlainStep, keep_values
from keras_noisyfer.models.training import (
    CountEpochs,
    batch_shapes,
    check_shards,
    is_tf_dataset,
    metric_results,
)
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.value_checks import (
    check_image_spec,
    is_known,
    lowest_value,
    one_line_errors,
    warn_of_scale,
)

_UNSEEN = 2.0


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
        self._scale_told = None
        self.on_nonfinite = "raise"
        self.completed_epochs = self.add_weight(
            name="completed_epochs",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
        )
        # Of the images that the traced steps have seen.
        self.lowest_value = self.add_weight(
            name="lowest_value",
            shape=(),
            dtype="float32",
            initializer=keras.initializers.Constant(_UNSEEN),
            trainable=False,
            aggregation="only_first_replica",
        )
        self.faults = FaultRecord(name="faults")

    # === Training and evaluation ===

    def compile(
        self,
        optimizer=None,
        *,
        jit_compile=None,
        run_eagerly=False,
        steps_per_execution=1,
        on_nonfinite="raise",
        **others,
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
            **others: Refused: losses and their weights are arguments of the
                model, the metrics are those of its tasks.

        Raises:
            ValueError: if an argument is wrong.
            TypeError: if there are others.
        """
        if others:
            raise TypeError(
                "`compile` takes no losses or metrics: the model itself has "
                "`losses`, by task name, and the metrics of its tasks. "
                f"Received: {', '.join(others)}"
            )
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
        prepare_optimizer(
            self, "optimizer", self.optimizer, self.generator_variables
        )

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
        refuse_class_weight(kwargs)
        check_data(self, x, y, kwargs.get("sample_weight"))
        validation_data = kwargs.get("validation_data")
        if isinstance(validation_data, (list, tuple)):
            check_data(
                self, *validation_data[:3], argument="validation_data[0]"
            )
        elif validation_data is not None:
            check_data(self, validation_data, argument="validation_data")
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
        callbacks = [
            WatchMonitors(callbacks),
            *self.make_callbacks(),
            *(each for each in callbacks if each not in resume),
            PassOnLearningRate(),
            # Last, so that the state has what the others have changed.
            *resume,
        ]
        with self._guard():
            return super().fit(x, y, callbacks=callbacks, **kwargs)

    def make_callbacks(self):
        """The callbacks that every call of `fit` has."""
        return [CountEpochs(), StopAtFaults(), WatchScale()]

    @property
    def second_optimizers(self):
        """The optimizers beside `optimizer`, a list."""
        return []

    @contextlib.contextmanager
    def _guard(self):
        """What all ways in share: errors of one line, variables that keep
        their values, and a word about images of another scale."""
        told, self._scale_told = self._scale_told, bool(self._scale_told)
        self.lowest_value.assign(_UNSEEN)
        try:
            with one_line_errors(), keep_values(self):
                yield
                self.tell_scale()
        finally:
            # A validation within `fit` leaves it to be told once.
            self._scale_told = None if told is None else self._scale_told
            # It is of a call, not of the model.
            self.lowest_value.assign(_UNSEEN)

    def tell_scale(self):
        """Warns, once a call, if no image had a value below 0."""
        lowest = float(self.lowest_value.numpy())
        if not self._scale_told and lowest < _UNSEEN:
            self._scale_told = warn_of_scale(lowest)

    def train_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """Trains on one batch; the arguments are those of
        `keras.Model.train_on_batch`.

        Args:
            x: Images, or a dict of `image` and `index`, by which a
                `NumericalFault` tells them.
            y: Labels, a dict.
            sample_weight: Weights of the images, or None.
            **kwargs: `return_dict`.

        Raises:
            NumericalFault: see `compile`.
        """
        refuse_class_weight(kwargs)
        check_data(self, x, y, sample_weight)
        with self._guard():
            logs = super().train_on_batch(x, y, sample_weight, **kwargs)
        raise_fault(self)
        return logs

    def test_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """Evaluates one batch; the arguments are those of
        `keras.Model.test_on_batch`."""
        check_data(self, x, y, sample_weight)
        with self._evaluation(), self._guard():
            return super().test_on_batch(x, y, sample_weight, **kwargs)

    def predict(self, x, *args, **kwargs):
        """Predicts the consensus; the arguments are those of
        `keras.Model.predict`."""
        check_data(self, x)
        with self._guard():
            return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x):
        """Predicts the consensus for one batch of images."""
        check_data(self, x)
        with self._guard():
            return super().predict_on_batch(x)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Evaluates the consensus prediction; the arguments are those of
        `keras.Model.evaluate`."""
        check_shards(self, kwargs.get("batch_size"), x=x)
        if "_use_cached_eval_dataset" not in kwargs:
            check_data(self, x, y, kwargs.get("sample_weight"))
        shapes = batch_shapes(x, y)
        # One traced function for clean and noisy labels would have to take
        # labels of unknown rank.
        if shapes != self._evaluated_shapes:
            self.test_function = None
        self._evaluated_shapes = shapes
        with self._evaluation(), self._guard():
            return super().evaluate(x, y, *args, **kwargs)

    @contextlib.contextmanager
    def _evaluation(self):
        self._evaluating = True
        try:
            yield
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

    @property
    def has_labels(self):
        """Whether any label has been seen since the metrics were reset."""
        return float(self.loss_tracker.count.numpy()) > 0

    def mark_fault(self, fault):
        """Lets the logs of a step tell a fault that training is to stop at."""
        if self.on_nonfinite == "raise":
            self.loss_tracker.update_state(
                ops.where(fault > 0, float("nan"), 0.0),
                sample_weight=ops.where(fault > 0, 1.0, 0.0),
            )

    def unpack_images(self, data):
        """The images of a batch, of the encoder's shape."""
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        images = check_inputs(inputs)
        check_image_spec(images, self.encoder.image_shape)
        if not is_known(images):
            self.lowest_value.assign(
                ops.minimum(self.lowest_value, lowest_value(images))
            )
        return images

    def unpack_batch(self, data, evaluation=False):
        """Splits a batch into images, standardized labels and the images'
        weights by task, which may be None.

        Raises:
            ValueError: if the batch is not `(image, labels)` or `(image,
                labels, sample_weight)`, the image a tensor or a dict of
                `image` and `index`, in the data contract's shapes and dtypes.
        """
        images = self.unpack_images(data)
        _, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if labels is None:
            raise ValueError(
                "A batch must be a pair (image, labels). Received: images alone"
            )
        labels = standardize_labels(self.tasks, labels, evaluation)
        check_batch_labels(self.tasks, labels)
        if not evaluation:
            check_batch_size(self.tasks, ops.shape(images)[0])
        return images, labels, check_batch_weights(self.tasks, weights)

    def batch_indices(self, data):
        """Which images a batch holds, or None if it does not tell."""
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return inputs.get("index") if isinstance(inputs, dict) else None

    def batch_weight(self, images, sample_weight):
        """How much a batch counts in a mean: its weights' sum, or its size."""
        if sample_weight is None:
            return ops.shape(images)[0]
        return ops.sum(mean_weights(sample_weight))
