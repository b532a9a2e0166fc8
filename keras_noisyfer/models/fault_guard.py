"""No update by a loss or a gradient that is not finite."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from keras_noisyfer.arguments import check_choice
from keras_noisyfer.distribution import (
    gather_over_replicas,
    replica_count,
    replicas_of,
    sum_over_replicas,
)
from keras_noisyfer.typing import Tensor, Terms, Updates

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

ON_NONFINITE = ("raise", "skip")
# So many images of a batch are remembered.
_MAX_IMAGES = 1024


def check_on_nonfinite(model: keras.Model, on_nonfinite: str) -> None:
    """Raises `ValueError` if `compile` cannot have `on_nonfinite`."""
    check_choice("on_nonfinite", on_nonfinite, ON_NONFINITE)
    # Where a step is spread over replicas it is not taken back.
    replicas = replicas_of(model)
    if on_nonfinite == "skip" and replicas > 1:
        raise ValueError(
            "`on_nonfinite` may be 'skip' on a single device only. "
            f"Received: 'skip' under a strategy of {replicas} replicas"
        )


class FaultGuard(keras.layers.Layer):
    """Lets the steps of a model update only by what is finite.

    It counts the steps, and keeps what is known of the first fault until it
    has been told. A step of TensorFlow, of which JAX has the like in
    `jax_training`, is

    ```
    kept = guard.keep(model)
    with tf.GradientTape() as tape:
        losses = ...
    fault = guard.apply(model, tape, losses, updates)
    guard.finish(model, fault, kept, index)
    ```
    """

    def __init__(self, **kwargs: Any):
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

    # === In a step ===

    def keep(self, model: keras.Model) -> list[tuple[keras.Variable, Tensor]]:
        """The values that `finish` gives back after a fault."""
        return [
            (each, tf.convert_to_tensor(each.value))
            for each in revocable_variables(model)
        ]

    def apply(
        self,
        model: keras.Model,
        tape: Any,
        losses: Sequence[Tensor],
        updates: Updates,
        fault: Tensor = 0,
        terms: Terms | None = None,
    ) -> Tensor:
        """Updates variables by the gradients of losses, if all is finite.

        Args:
            model: The model that is trained.
            tape: `tf.GradientTape` that has recorded the losses.
            losses: List of scalars.
            updates: List of pairs of an optimizer and its variables, one a
                loss. No loss depends on another's variables.
            fault: Number of a fault that has been found before, or 0.
            terms: List of pairs of a name and a scalar, which have to be
                finite besides the gradients; `loss_terms` if None.

        Returns:
            The number of that fault or of one found here, or 0.
        """
        terms = loss_terms(model) if terms is None else terms
        with tape:
            scaled = scale_losses(losses, updates)
        gradients = tape.gradient(
            scaled,
            [[each.value for each in variables] for _, variables in updates],
            # The heads of the noise code have none in plain training.
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        found = self.find([*terms, *gradient_terms(model, updates, gradients)])
        fault = tf.where(fault > 0, fault, found)

        def update():
            for (optimizer, variables), each in zip(
                updates, gradients, strict=True
            ):
                optimizer.apply(each, variables)

        _call_if(fault == 0, update)
        return fault

    def finish(
        self,
        model: keras.Model,
        fault: Tensor,
        kept: Iterable[tuple[keras.Variable, Tensor]],
        index: Tensor | None,
    ) -> None:
        """Counts a step and takes back what one with a fault has changed.

        Args:
            model: The model that is trained.
            fault: What `apply` has returned.
            kept: What `keep` has returned before the step.
            index: Indices of the batch's images, or None.
        """
        self.count(fault, index)

        if not tf.distribute.has_strategy():
            for variable, value in kept:
                now = tf.convert_to_tensor(variable.value)
                variable.assign(tf.where(fault > 0, value, now))
        mark_fault(model, fault)

    # === On any backend ===

    def find(self, terms: Terms) -> Tensor:
        """Looks for a term that is not finite.

        Args:
            terms: List of pairs of a name and a scalar.

        Returns:
            The number by which `count` knows the first such term, from 1, or
            0; int32.
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

    def count(self, fault: Tensor, index: Tensor | None) -> None:
        """Counts a step; see `finish`."""
        if index is None:
            index = ops.zeros((0,), "int32")
        else:
            index = gather_over_replicas(ops.cast(index, "int32"))
        # 0 is none.
        images = ops.concatenate(
            [index + 1, ops.zeros((_MAX_IMAGES,), "int32")]
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

    def pop(self) -> tuple[int, str, list[int]] | None:
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


def revocable_variables(model: keras.Model) -> list[keras.Variable]:
    """What a step changes beside weights and optimizers: batch statistics,
    vectors of spectral norms, moving averages, metrics. Not what counts."""
    variables = {
        id(each): each
        for each in (*model.variables, *model.metrics_variables)
        if not each.trainable and keras.backend.is_float_dtype(each.dtype)
    }
    return list(variables.values())


def loss_terms(model: keras.Model) -> list[tuple[str, Tensor]]:
    """The losses that a model tracks, in a step: list of pairs of a name and
    the sum over the epoch so far, which a loss that is not finite leaves not
    finite."""
    mean = keras.metrics.Mean
    trackers = [each for each in model.metrics if isinstance(each, mean)]
    # The sum of the others at last.
    trackers.sort(key=lambda each: each is model.loss_tracker)
    return [(each.name, each.total.value) for each in trackers]


def mark_fault(model: keras.Model, fault: Tensor) -> None:
    """Lets the logs of a step tell a fault that training is to stop at."""
    if model.on_nonfinite == "raise":
        model.loss_tracker.update_state(
            ops.where(fault > 0, float("nan"), 0.0),
            sample_weight=ops.where(fault > 0, 1.0, 0.0),
        )


def gradient_terms(
    model: keras.Model, updates: Updates, gradients: Sequence[Sequence[Tensor]]
) -> list[tuple[str, Tensor]]:
    """The gradients' sums, which are not finite if an entry is not, by name;
    not those of an optimizer that scales its loss and copes with them."""
    names = {
        id(variable): f"{network}/{variable.path}"
        for network, layer in vars(model).items()
        if isinstance(layer, keras.Layer)
        for variable in layer.trainable_variables
    }
    return [
        (
            f"gradient of {names.get(id(variable), variable.path)}",
            ops.sum(gradient),
        )
        for (optimizer, variables), group in zip(
            updates, gradients, strict=True
        )
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        for variable, gradient in zip(variables, group, strict=True)
    ]


def scale_losses(losses: Sequence[Tensor], updates: Updates) -> list[Tensor]:
    """Losses as the optimizers want them differentiated.

    Every replica has computed the loss of the whole batch, and the optimizers
    add up what the replicas make of it.
    """
    return [
        optimizer.scale_loss(loss) / replica_count()
        for loss, (optimizer, _) in zip(losses, updates, strict=True)
    ]


def _call_if(condition, function):
    """Calls a function of no result in a step if a condition holds."""
    # An optimizer cannot run in a branch under a strategy, whose steps are
    # not taken back.
    if tf.distribute.has_strategy():
        function()
        return

    def branch():
        function()
        return 0

    tf.cond(condition, branch, lambda: 0)
