"""Numerical faults: losses and gradients that are not finite."""

import math
import warnings

import keras
from keras import ops

from keras_noisyfer.distribution import gather_over_replicas, sum_over_replicas
from keras_noisyfer.models.training import replicas_of
from keras_noisyfer.numerical_fault import NumericalFault, check_weights

ON_NONFINITE = ("raise", "skip")
# So many images of a batch are remembered.
_MAX_IMAGES = 1024


def check_on_nonfinite(model, on_nonfinite):
    """Raises `ValueError` if `compile` cannot have `on_nonfinite`."""
    if on_nonfinite not in ON_NONFINITE:
        raise ValueError(
            f"`on_nonfinite` must be one of {', '.join(ON_NONFINITE)}. "
            f"Received: {on_nonfinite!r}"
        )
    # Where a step is spread over replicas it is not taken back.
    replicas = replicas_of(model)
    if on_nonfinite == "skip" and replicas > 1:
        raise ValueError(
            "`on_nonfinite` may be 'skip' on a single device only. "
            f"Received: 'skip' under a strategy of {replicas} replicas"
        )


class FaultRecord(keras.layers.Layer):
    """Counts a model's steps, and keeps what is known of a fault in one.

    It is written in the course of a step, on any backend, and read between
    steps: the first fault until it has been told.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._terms = []
        self.steps = self._add("steps")
        self.skipped = self._add("skipped")
        self._step = self._add("step")
        self._term = self._add("term")
        self._images = self._add("images", (_MAX_IMAGES,))
        self.built = True

    def _add(self, name, shape=()):
        return self.add_weight(
            name=name,
            shape=shape,
            dtype="int32",
            initializer="zeros",
            trainable=False,
            # The same on all replicas.
            aggregation="only_first_replica",
        )

    def find(self, terms):
        """Looks for a term that is not finite.

        Args:
            terms: List of pairs of a name and a scalar.

        Returns:
            The number by which `update` knows the first such term, from 1,
            or 0; int32.
        """
        numbers = []
        for name, _ in terms:
            if name not in self._terms:
                self._terms.append(name)
            numbers.append(self._terms.index(name) + 1)
        values = ops.stack([ops.cast(each, "float32") for _, each in terms])
        wrong = ops.cast(ops.logical_not(ops.isfinite(values)), "float32")
        wrong = ops.cast(sum_over_replicas(wrong) > 0, "int32")
        first = ops.take(ops.convert_to_tensor(numbers), ops.argmax(wrong))
        return first * ops.max(wrong)

    def update(self, fault, images):
        """Counts a step.

        Args:
            fault: What `find` has returned.
            images: Indices of the batch's images, or None.
        """
        if images is None:
            images = ops.zeros((0,), "int32")
        else:
            images = gather_over_replicas(ops.cast(images, "int32"))
        # 0 is none.
        images = ops.concatenate(
            [images + 1, ops.zeros((_MAX_IMAGES,), "int32")]
        )[:_MAX_IMAGES]
        self.steps.assign(self.steps + 1)
        self.skipped.assign(self.skipped + ops.cast(fault > 0, "int32"))
        first = ops.logical_and(fault > 0, ops.equal(self._term.value, 0))
        for variable, value in (
            (self._step, self.steps.value),
            (self._images, images),
            (self._term, fault),
        ):
            variable.assign(ops.where(first, value, variable.value))

    def pop(self):
        """The first fault since the last call, or None.

        Returns:
            Its step, its term and the indices of its images.
        """
        number = int(self._term.numpy())
        if number == 0:
            return None
        self._term.assign(0)
        images = self._images.numpy()
        return (
            int(self._step.numpy()),
            self._terms[number - 1],
            (images[images > 0] - 1).tolist(),
        )


class StopAtFaults(keras.callbacks.Callback):
    """Stops training at a numerical fault, or tells of the batches that were
    left out.

    Raises:
        NumericalFault: after a batch, or a validation, whose `loss` in the
            logs is not finite; after an epoch that has left a weight not
            finite, or of which all batches were left out.
    """

    # On JAX the next step would take the variables' values meanwhile.
    async_safe = keras.backend.backend() == "tensorflow"

    def on_train_begin(self, logs=None):
        self._warned = False

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self.model.faults.skipped.assign(0)

    def on_train_batch_end(self, batch, logs=None):
        self._batches = batch + 1
        if math.isfinite((logs or {}).get("loss", 0.0)):
            return
        # On JAX `self.model` has the values of the latest step.
        if not self.model.has_labels:
            return
        fault = self.model.faults.pop() or (None, "loss", [])
        raise _make_fault(fault, _STOPPED, self._epoch)

    def on_test_end(self, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss) and not self.model.has_labels:
            raise ValueError(
                "`validation_data` must have labels of at least one task. "
                "Received: none"
            )
        if self.model.on_nonfinite == "raise" and not math.isfinite(loss):
            raise _make_fault(
                (None, "validation loss", []), _NOT_VALID, self._epoch
            )

    def on_epoch_end(self, epoch, logs=None):
        skipped = int(self.model.faults.skipped.numpy())
        fault = self.model.faults.pop() if skipped else None
        if skipped == self._batches:
            raise _make_fault(fault, _ALL_SKIPPED, epoch)
        # Before anybody saves them.
        check_weights(self.model)
        if skipped and not self._warned:
            self._warned = True
            warnings.warn(
                str(_make_fault(fault, _SKIPPED, epoch)), stacklevel=2
            )


def raise_fault(model):
    """Raises `NumericalFault` if the last step had one that stops training."""
    fault = model.faults.pop()
    if fault is not None and model.on_nonfinite == "raise":
        raise _make_fault(fault, _STOPPED)


_STOPPED = (
    "{fault}: training was stopped before that update. "
    "compile(on_nonfinite='skip') leaves such batches out"
)
_NOT_VALID = (
    "{fault}: training was stopped. The weights are those of its last update; "
    "look for values that are not finite in `validation_data`"
)
_SKIPPED = (
    "{fault}: the batch was left out. The logs count such batches in "
    "skipped_batches; they are not told of again"
)
_ALL_SKIPPED = (
    "{fault}, and so were all other batches of that epoch: training was "
    "stopped, for the weights or all labels are at fault"
)


def _make_fault(fault, message, epoch=None):
    step, term, images = fault
    place = [] if epoch is None else [f"epoch {epoch + 1}"]
    if step is not None:
        place.append(f"step {step}")
        if images:
            place.append("images " + ", ".join(map(str, images)))
        else:
            place[-1] += " (a data set `with_index=True` tells the images)"
    text = f"The {term} was not finite in {', '.join(place)}"
    return NumericalFault(message.format(fault=text), step, term, images)
