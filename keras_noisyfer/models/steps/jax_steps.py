"""Train steps of the JAX backend, without side effects.

Keras passes the values of all variables in and takes the new ones out. In
between, the shared objectives run as on any backend: within a
`keras.StatelessScope` that holds the values, where `assign` replaces them.
"""

import contextlib
import functools

import jax
import keras

from keras_noisyfer.models.training import (
    gradient_terms,
    revocable_variables,
    scale_losses,
)


@contextlib.contextmanager
def keep_values(model):
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


def gradients_of(function, tensor):
    """Gradients of scalars with respect to a tensor that they are made of.

    Args:
        function: From a tensor to a list of scalars. It may read variables
            but not assign to them.
        tensor: Where the gradients are taken.

    Returns:
        List of tensors of its shape.
    """
    return jax.jacrev(function)(tensor)


class PlainStep:
    """One update of a `MultiTaskClassifier`."""

    def train_step(self, state, data):
        values = _Values(self, state)
        before = values.copy()
        _, fault = values.minimize(
            lambda: self.compute_training_losses(data),
            self.plain_updates,
            lambda losses: self.loss_terms,
        )
        return self._finish_step(values, fault, before, data)

    def test_step(self, state, data):
        values = _Values(self, state)
        return values.run(lambda: self.evaluate_batch(data)), values.state

    def predict_step(self, state, data):
        values = _Values(self, state)
        predictions = values.run(lambda: self.predict_batch(data))
        return predictions, values.state[1]

    def _finish_step(self, values, fault, before, data):
        """Counts a step and takes back what one with a fault has changed.

        Returns:
            The logs and the state, as Keras' trainer takes them.
        """
        values.run(lambda: self.faults.update(fault, self.batch_indices(data)))
        values.restore(fault > 0, before, revocable_variables(self))
        values.run(lambda: self.mark_fault(fault))
        return values.run(self.get_metrics_result), values.state

    @property
    def non_trainable_variables(self):
        # Keras' trainer carries one optimizer; so it carries the others.
        others = [
            each
            for name, each in vars(self).items()
            if name != "optimizer"
            and isinstance(each, keras.optimizers.Optimizer)
        ]
        return [
            *super().non_trainable_variables,
            *(variable for each in others for variable in each.variables),
        ]


class AlternatingStep(PlainStep):
    """The alternating updates of a `JointDistributionGAN`."""

    def train_step(self, state, data):
        if not self.adversarial:
            return super().train_step(state, data)
        values = _Values(self, state)
        before = values.copy()
        images, labels, sample_weight = values.run(
            lambda: self.unpack_batch(data)
        )
        variables = self.generator_variables
        updates = [(self.optimizer, variables)]
        # One forward pass of the generators, of which the discriminator sees
        # the values and their own loss the derivative too.
        tuples, pull_back = values.differentiate(
            lambda: self.make_tuples(images, labels), variables
        )
        outputs, encoded, decoded = tuples
        name = self.discriminator_loss_tracker.name
        fault = 0
        for _ in range(self.discriminator_steps):
            (discriminator_loss,), fault = values.minimize(
                lambda: [
                    self.compute_discriminator_loss(
                        encoded, decoded, sample_weight=sample_weight
                    )
                ],
                [
                    (
                        self.discriminator_optimizer,
                        self.discriminator.trainable_variables,
                    )
                ],
                lambda losses: [(name, losses[0])],
                fault,
            )

        def compute_loss(outputs, encoded, decoded):
            loss = self.compute_generator_loss(
                labels, outputs, encoded, decoded, sample_weight
            )
            (scaled,) = scale_losses([loss], updates)
            return scaled

        gradients = pull_back(values.gradient(compute_loss, *tuples))
        fault = values.apply(updates, gradients, lambda: self.loss_terms, fault)
        values.run(
            lambda: self.track_discriminator_loss(
                discriminator_loss, images, sample_weight
            )
        )
        return self._finish_step(values, fault, before, data)


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
        with keras.StatelessScope() as scope:
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

    def minimize(self, function, updates, terms, fault=0):
        """Updates variables by the gradients of losses, if all is finite.

        Args:
            function: Computes the losses, a list of scalars.
            updates: List of pairs of an optimizer and its variables, one a
                loss. No loss depends on another's variables.
            terms: Function of the losses that returns what has to be finite
                besides the gradients; see `FaultRecord.find`.
            fault: Number of a fault that has been found before, or 0.

        Returns:
            The losses; and the number of that fault or of one found here, or
            0.
        """

        def compute_losses():
            losses = function()
            return scale_losses(losses, updates), losses

        variables = [each for _, group in updates for each in group]
        (scaled, losses), pull_back = self.differentiate(
            compute_losses, variables
        )
        gradients = pull_back(
            (
                jax.tree.map(jax.numpy.ones_like, scaled),
                jax.tree.map(jax.numpy.zeros_like, losses),
            )
        )
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
            lambda: self._model.faults.find(
                [*terms(), *gradient_terms(self._model, updates, grouped)]
            )
        )
        fault = jax.numpy.where(fault > 0, fault, found)
        before = self.copy()
        for (optimizer, variables), group in zip(updates, grouped, strict=True):
            self.run(functools.partial(optimizer.apply, group, variables))
            self.restore(fault > 0, before, [*variables, *optimizer.variables])
        return fault
