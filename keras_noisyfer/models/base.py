"""How every model of noisy labels is compiled, fitted and evaluated."""

import contextlib
from typing import Any, Self

import keras
from keras import ops

from keras_noisyfer.arguments import (
    check_assignment,
    check_training,
    constructor_config,
)
from keras_noisyfer.averages import finalize_averages
from keras_noisyfer.batches import (
    Batch,
    batch_shapes,
    check_data,
    check_inputs,
    check_shards,
    is_tf_dataset,
    unpack_batch,
)
from keras_noisyfer.distribution import check_strategy
from keras_noisyfer.fit_callbacks import (
    CountEpochs,
    StopAtFaults,
    WatchScale,
    all_callbacks,
    as_numbers,
)
from keras_noisyfer.metrics import metric_results
from keras_noisyfer.models.fault_guard import FaultGuard, check_on_nonfinite
from keras_noisyfer.networks import Encoder
from keras_noisyfer.networks.network import check_network
from keras_noisyfer.numerical_fault import raise_fault
from keras_noisyfer.optimizers import FusedAdam, prepare_optimizer
from keras_noisyfer.typing import Labels, Tensor
from keras_noisyfer.value_checks import (
    check_image_spec,
    check_images,
    check_share,
    is_known,
    lowest_value,
    one_line_errors,
    unchecked_images,
    warn_of_scale,
    warn_of_unchecked_values,
)

ON_JAX = keras.backend.backend() == "jax"
if ON_JAX:
    from keras_noisyfer.models.jax_training import keep_values
elif keras.backend.backend() == "tensorflow":
    keep_values = contextlib.nullcontext  # type: ignore[assignment]
else:
    raise ImportError(
        "keras_noisyfer's models need KERAS_BACKEND=tensorflow or jax. "
        f"Received: {keras.backend.backend()}"
    )
_UNSEEN = 2.0


class BaseModel(keras.Model):
    """An encoder of tasks, from `compile` to `predict`.

    A subclass has `call`, the three steps, the metrics `metrics` and
    `evaluation_metrics`, and a `loss_tracker` among both; see
    `MultiTaskModel`.

    Args:
        encoder: An `Encoder`. Its tasks are those of the model.
        **kwargs: `name`, `trainable`, `dtype`, by default the encoder's.
    """

    def __init__(self, encoder: Encoder, **kwargs: Any):
        check_strategy()
        check_network("encoder", encoder, Encoder)
        super().__init__(**{"dtype": encoder.dtype_policy, **kwargs})
        self.encoder = encoder
        self.tasks = encoder.tasks
        self._traced_shapes: dict[str, Any] = {}
        self._fits = 0
        self._evaluating = False
        self._scale_told: Any = None
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
        self.fault_guard = FaultGuard(name="fault_guard")

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, "compiled", False):
            check_assignment(self, name, value, BaseModel)
        super().__setattr__(name, value)

    # === What training updates ===

    @property
    def trained_variables(self) -> list[keras.Variable]:
        """The variables that `optimizer` updates."""
        return self.encoder.trainable_variables

    @property
    def second_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """The optimizers beside `optimizer`, a dict by their argument."""
        return {
            name: each
            for name, each in vars(self).items()
            if isinstance(each, keras.optimizers.Optimizer)
            and name != "optimizer"
        }

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        variables = super().non_trainable_variables
        if ON_JAX:
            # Keras' trainer carries one optimizer; so it carries the others.
            for each in self.second_optimizers.values():
                variables = [*variables, *each.variables]
        return variables

    def compile(
        self,
        optimizer: Any = None,
        *,
        jit_compile: bool | None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        on_nonfinite: str = "raise",
        **others: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: Optimizer of the encoder. By default `FusedAdam`
                with learning rate 1e-4, as in the paper. With `use_ema=True`
                validation and callbacks see the averaged weights at the end
                of an epoch; `fit` ends with them, and the next one begins so.
            jit_compile: Whether to compile the steps with XLA; by default
                on JAX alone. With TensorFlow it is slower on a CPU, and the
                values of a data set are not checked, of arrays alone.
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
            TypeError: if there are others.
        """
        if others:
            raise TypeError(
                f"`compile` of a {type(self).__name__} takes no such "
                f"arguments. Received: {', '.join(others)}"
            )
        check_on_nonfinite(self, on_nonfinite)
        if jit_compile and not ON_JAX:
            warn_of_unchecked_values()
        self.on_nonfinite = on_nonfinite
        self._jit_compile_argument = jit_compile
        super().compile(
            optimizer=optimizer or FusedAdam(),
            jit_compile=ON_JAX if jit_compile is None else jit_compile,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
        )
        prepare_optimizer(
            self, "optimizer", self.optimizer, self.trained_variables
        )
        finalize_averages(self)

    def get_compile_config(self) -> dict[str, Any] | None:
        if not self.compiled:
            return None
        optimizers = {"optimizer": self.optimizer, **self.second_optimizers}
        return {
            **keras.saving.serialize_keras_object(optimizers),
            # Of the argument, for a file may be loaded on another backend.
            "jit_compile": self._jit_compile_argument,
            "run_eagerly": self.run_eagerly,
            "steps_per_execution": self.steps_per_execution,
            "on_nonfinite": self.on_nonfinite,
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    # === The ways in ===

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
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
        check_training(self, "fit", kwargs)
        check_data(self, x, y, kwargs.get("sample_weight"))
        validation_data = kwargs.get("validation_data")
        if validation_data is not None:
            parts = validation_data
            if not isinstance(parts, (list, tuple)):
                parts = (parts,)
            name = "validation_data" + "[0]" * (parts is validation_data)
            check_data(self, *parts[:3], argument=name)  # type: ignore[misc]
        check_shards(self, batch_size, x=x, validation_data=validation_data)
        callbacks = all_callbacks(self, callbacks, x)
        self._fits += 1
        with self._call("train_function", batch_shapes(x, y)):
            return super().fit(
                x, y, batch_size, epochs, verbose, callbacks, **kwargs
            )

    def make_callbacks(self) -> list[keras.callbacks.Callback]:
        """The callbacks that every call of `fit` has."""
        return [CountEpochs(), StopAtFaults(), WatchScale()]

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, **kwargs: Any
    ) -> Any:
        """Trains on one batch; the arguments are those of
        `keras.Model.train_on_batch`. For a `NumericalFault` see `compile`."""
        check_training(self, "train_on_batch", kwargs)
        check_data(self, x, y, sample_weight)
        with self._call("train_function", batch_shapes(x, y)):
            logs = super().train_on_batch(x, y, sample_weight, **kwargs)
        raise_fault(self)
        return as_numbers(logs)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Evaluates the consensus prediction, as `keras.Model.evaluate`."""
        check_shards(self, batch_size, x=x)
        in_fit = "_use_cached_eval_dataset" in kwargs
        if not in_fit:
            check_data(self, x, y, sample_weight)
        # In `fit` those of all epochs are the same.
        shapes = batch_shapes(x, y) or (self._fits if in_fit else None)
        with self._call("test_function", shapes):
            results = super().evaluate(
                x, y, batch_size, verbose, sample_weight, **kwargs
            )
            return as_numbers(results)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, **kwargs: Any
    ) -> Any:
        """Evaluates one batch, as `keras.Model.test_on_batch`."""
        check_data(self, x, y, sample_weight)
        with self._call("test_function", batch_shapes(x, y)):
            logs = super().test_on_batch(x, y, sample_weight, **kwargs)
        return as_numbers(logs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Labels:
        """Predicts the consensus, as `keras.Model.predict`."""
        check_data(self, x)
        with self._call():
            return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Labels:
        """Predicts the consensus for one batch of images."""
        check_data(self, x)
        with self._call():
            return super().predict_on_batch(x)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Labels:
        # In `call` Keras would make many lines of an error.
        check_images(check_inputs(inputs), self.encoder.image_shape)
        with unchecked_images():
            return super().__call__(inputs, *args, **kwargs)

    @contextlib.contextmanager
    def _call(self, function=None, shapes=None):
        """What all ways in share: errors of one line, variables that keep
        their values, and a word about images of another scale."""
        # One function that TensorFlow traces for clean and noisy labels would
        # have to take labels of unknown rank.
        if function and not ON_JAX:
            if not shapes or shapes != self._traced_shapes.get(function):
                setattr(self, function, None)
            self._traced_shapes[function] = shapes
        told, self._scale_told = self._scale_told, bool(self._scale_told)
        evaluating = function == "test_function"
        before, self._evaluating = self._evaluating, evaluating
        self.lowest_value.assign(_UNSEEN)
        try:
            with one_line_errors(), keep_values(self):
                yield
                self.tell_scale()
        finally:
            # A validation within `fit` leaves it to be told once.
            self._scale_told = None if told is None else self._scale_told
            self._evaluating = before
            # It is of a call, not of the model.
            self.lowest_value.assign(_UNSEEN)

    def tell_scale(self) -> None:
        """Warns, once a call, if no image had a value below 0."""
        lowest = float(self.lowest_value.numpy())
        if not self._scale_told and lowest < _UNSEEN:
            self._scale_told = warn_of_scale(lowest)

    def get_metrics_result(self) -> dict[str, Tensor]:
        # Over all replicas Keras reads them here, not from the last step.
        chosen = self.evaluation_metrics if self._evaluating else self.metrics
        results = metric_results(chosen)
        if self.on_nonfinite == "skip" and not self._evaluating:
            results["skipped_batches"] = ops.convert_to_tensor(
                self.fault_guard.skipped
            )
        return results

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns, in the order of its list."""
        return list(metric_results(self.evaluation_metrics))

    def _flatten_metrics_in_order(self, logs):
        # Keras looks for one result a metric. Others stand behind.
        names = dict.fromkeys([*self.metrics_names, *logs])
        return [logs[name] for name in names if name in logs]

    # === In a step ===

    def unpack_images(self, data: Any) -> Tensor:
        """The images of a batch, of the encoder's shape."""
        images = check_inputs(keras.utils.unpack_x_y_sample_weight(data)[0])
        check_image_spec(images, self.encoder.image_shape)
        images = check_share(images)
        if not is_known(images):
            self.lowest_value.assign(
                ops.minimum(self.lowest_value, lowest_value(images))
            )
        return images

    def unpack_batch(self, data: Any, evaluation: bool = False) -> Batch:
        """Checks a batch and takes it apart; see `batches.unpack_batch`."""
        images = self.unpack_images(data)
        return unpack_batch(data, images, self.tasks, evaluation)

    @property
    def has_labels(self) -> bool:
        """Whether any label has been seen since the metrics were reset."""
        return float(self.loss_tracker.count.numpy()) != 0

    # === Saving ===

    def get_config(self) -> dict[str, Any]:
        policy = keras.saving.serialize_keras_object(self.dtype_policy)
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": policy,
            **constructor_config(self, BaseModel),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**keras.saving.deserialize_keras_object(config))
