"""The models' steps on JAX, without side effects.

Keras passes the values of all variables in and takes the new ones out. In
between, the losses run as on TensorFlow: within a `keras.StatelessScope` that
holds the values, where `assign` replaces them.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import jax
import keras

from keras_noisyfer.models.fault_guard import (
    gradient_terms,
    loss_terms,
    mark_fault,
    revocable_variables,
    scale_losses,
)


@contextlib.contextmanager
def keep_values(model: keras.Model) -> Iterator[None]:
    """Keeps a model's variables where `fit`, `evaluate` or `predict` fails.

    Keras takes the values out of them for the time of the call, and after an
    error in the first step, or an interruption, does not put them back.

    Raises:
        ValueError: if a batch could not be shared out among the devices.
    """
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    if getattr(model, "optimizer", None) is not None:
        variables += model.optimizer.variables
    variables += model.metrics_variables
    kept = [(each, each._value) for each in variables]
    try:
        yield
    except BaseException as error:
        model.jax_state_sync()
        for variable, value in kept:
            if variable._value is None:
                variable.assign(value)
        if type(error).__name__ == "IndivisibleError":
            devices = keras.distribution.distribution().device_mesh
            raise ValueError(
                "The number of images of every batch, the last one among "
                "them, must be a multiple of the number of devices, "
                f"{devices.devices.size}. Received: a batch that is not"
            ) from None
        raise


def value_of(model: keras.Model, variable: keras.Variable, state: Any) -> Any:
    """The value of a variable in a state; see `_Values`."""
    return _Values(model, state).run(lambda: variable.value)


def train_step(model: keras.Model, state: Any, data: Any) -> tuple[Any, Any]:
    """One step of `MultiTaskModel.train_step`."""
    values = _Values(model, state)
    before = values.copy()
    batch = values.run(lambda: model.unpack_batch(data))
    _, fault = values.minimize(
        lambda: model.training_losses(batch), model.updates
    )
    return _finish(model, values, fault, before, batch.index)


def alternating_step(
    model: keras.Model, state: Any, data: Any
) -> tuple[Any, Any]:
    """`JointDistributionGAN.alternating_step`."""
    values = _Values(model, state)
    before = values.copy()
    batch = values.run(lambda: model.unpack_batch(data))
    variables = model.trained_variables
    # One forward pass of the generators, of which the discriminator sees the
    # values and their own loss the derivative too.
    tuples, pull_back = values.differentiate(
        lambda: model.make_tuples(batch), variables
    )
    outputs, encoded, decoded = tuples
    fault = 0
    for _ in range(model.discriminator_steps):
        (discriminator_loss,), fault = values.minimize(
            lambda: [
                model.discriminator_loss(encoded, decoded, batch.image_weights)
            ],
            [
                (
                    model.discriminator_optimizer,
                    model.discriminator.trainable_variables,
                )
            ],
            fault,
            lambda losses: [(model.discriminator_loss_tracker.name, losses[0])],
        )
    updates = [(model.optimizer, variables)]

    def scaled_loss(outputs, encoded, decoded):
        loss = model.generator_loss(batch, outputs, encoded, decoded)
        (scaled,) = scale_losses([loss], updates)
        return scaled

    gradients = pull_back(values.gradient(scaled_loss, *tuples))
    fault = values.apply(updates, gradients, lambda: loss_terms(model), fault)
    values.run(
        lambda: model.discriminator_loss_tracker.update_state(
            discriminator_loss, sample_weight=batch.weight
        )
    )
    return _finish(model, values, fault, before, batch.index)


def test_step(model: keras.Model, state: Any, data: Any) -> tuple[Any, Any]:
    """One step of `MultiTaskModel.test_step`."""
    values = _Values(model, state)
    return values.run(lambda: model.evaluate_batch(data)), values.state


def predict_step(model: keras.Model, state: Any, data: Any) -> tuple[Any, Any]:
    """One step of `MultiTaskModel.predict_step`."""
    values = _Values(model, state)
    return values.run(lambda: model.predict_batch(data)), values.state[1]


def _finish(model, values, fault, before, index):
    """Counts a step and takes back what one with a fault has changed; returns
    the logs and the state, as Keras' trainer takes them."""
    values.run(lambda: model.fault_guard.count(fault, index))
    values.restore(fault > 0, before, revocable_variables(model))
    values.run(lambda: mark_fault(model, fault))
    return values.run(model.get_metrics_result), values.state


class _Values:
    """The values of a model's variables in the course of a step.

    Args:
        model: The model.
        state: Lists of values, as Keras' trainer gives them: of trainable
            and other variables and, where it has them, of the optimizer and
            of the metrics.
    """

    def __init__(self, model, state):
        self._model = model
        groups = [model.trainable_variables, model.non_trainable_variables]
        if len(state) == 4:
            groups.append(model.optimizer.variables)
        if len(state) > 2:
            groups.append(model.metrics_variables)
        self._groups = groups
        self._values = {
            id(variable): value
            for group, values in zip(groups, state, strict=True)
            for variable, value in zip(group, values, strict=True)
        }

    @property
    def state(self):
        """The values as Keras' trainer takes them back."""
        return tuple(
            [self._values[id(each)] for each in group] for group in self._groups
        )

    def copy(self):
        """The values as they are now, a dict by the variables' ids."""
        return dict(self._values)

    def restore(self, condition, before, variables):
        """Puts values of variables back that a copy has, if a condition
        holds."""
        for each in variables:
            value, kept = self._values[id(each)], before[id(each)]
            if value is not kept:
                self._values[id(each)] = jax.numpy.where(condition, kept, value)

    def run(self, function):
        """Calls a function on the values and keeps the ones it assigns."""
        result, self._values = self._run(function, self._values)
        return result

    def _run(self, function, values):
        with keras.StatelessScope(collect_losses=True) as scope:
            scope.state_mapping.update(values)
            result = function()
        return result, dict(scope.state_mapping)

    def differentiate(self, function, variables):
        """Calls a function and keeps what it assigns, as `run`.

        Returns:
            Its result, and a function from the result's gradient to those of
            the variables.
        """

        def call(values):
            replaced = {
                id(variable): value
                for variable, value in zip(variables, values, strict=True)
            }
            return self._run(function, {**self._values, **replaced})

        result, pull_back, self._values = jax.vjp(
            call,
            [self._values[id(each)] for each in variables],
            has_aux=True,
        )
        return result, lambda gradient: pull_back(gradient)[0]

    def gradient(self, function, *arguments):
        """The gradient of a function's scalar with respect to its arguments;
        keeps what it assigns."""
        gradients, self._values = jax.grad(
            lambda arguments: self._run(
                lambda: function(*arguments), self._values
            ),
            has_aux=True,
        )(arguments)
        return gradients

    def minimize(self, function, updates, fault=0, terms=None):
        """Updates variables by the gradients of losses, if all is finite.

        Args:
            function: Computes the losses, a list of scalars.
            updates: List of pairs of an optimizer and its variables, one a
                loss. No loss depends on another's variables.
            fault: Number of a fault that has been found before, or 0.
            terms: Function of the losses that returns what has to be finite
                besides the gradients; by default its `loss_terms`.

        Returns:
            The losses; and the number of that fault or of one found here, or
            0.
        """

        def scaled_losses():
            losses = function()
            return scale_losses(losses, updates), losses

        variables = [each for _, group in updates for each in group]
        (scaled, losses), pull_back = self.differentiate(
            scaled_losses, variables
        )
        gradients = pull_back(
            (
                jax.tree.map(jax.numpy.ones_like, scaled),
                jax.tree.map(jax.numpy.zeros_like, losses),
            )
        )
        terms = terms or (lambda losses: loss_terms(self._model))
        fault = self.apply(updates, gradients, lambda: terms(losses), fault)
        return losses, fault

    def apply(self, updates, gradients, terms, fault):
        """Applies gradients to the variables of `updates`, if all is finite.

        Args:
            updates: As in `minimize`.
            gradients: List of gradients of all these variables.
            terms: As in `minimize`, but without argument.
            fault: As in `minimize`.

        Returns:
            The number of that fault or of one found here, or 0.
        """
        left = iter(gradients)
        grouped = [[next(left) for _ in group] for _, group in updates]
        found = self.run(
            lambda: self._model.fault_guard.find(
                [*terms(), *gradient_terms(self._model, updates, grouped)]
            )
        )
        fault = jax.numpy.where(fault > 0, fault, found)
        before = self.copy()
        for (optimizer, variables), group in zip(updates, grouped, strict=True):
            self.run(functools.partial(optimizer.apply, group, variables))
            self.restore(fault > 0, before, [*variables, *optimizer.variables])
        return fault
