"""Train steps of the TensorFlow backend, with `tf.GradientTape`."""

import contextlib

import tensorflow as tf

from keras_noisyfer.models.training import (
    gradient_terms,
    revocable_variables,
    scale_losses,
)


@contextlib.contextmanager
def keep_values(model):
    """With TensorFlow, whose variables always have their values, nothing."""
    yield


def gradients_of(function, tensor):
    """Gradients of scalars with respect to a tensor that they are made of.

    Args:
        function: From a tensor to a list of scalars.
        tensor: Where the gradients are taken.

    Returns:
        List of tensors of its shape.
    """
    with tf.GradientTape(
        persistent=True, watch_accessed_variables=False
    ) as tape:
        tape.watch(tensor)
        scalars = function(tensor)
    return [
        tape.gradient(
            each, tensor, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        for each in scalars
    ]


class PlainStep:
    """One update of a `MultiTaskClassifier`."""

    def train_step(self, data):
        before = self._read_revocable()
        with tf.GradientTape() as tape:
            losses = scale_losses(
                self.compute_training_losses(data), self.plain_updates
            )
        fault = self._minimize(
            tape, losses, self.plain_updates, self.loss_terms
        )
        self._finish_step(fault, before, data)
        return self.get_metrics_result()

    def test_step(self, data):
        return self.evaluate_batch(data)

    def predict_step(self, data):
        return self.predict_batch(data)

    def _read_revocable(self):
        return [
            (each, tf.identity(each.value))
            for each in revocable_variables(self)
        ]

    def _minimize(self, tape, losses, updates, terms, fault=0):
        """Applies the gradients of recorded losses, if all is finite.

        Args:
            tape: `tf.GradientTape`.
            losses: List of the scaled scalars that it has recorded.
            updates: List of pairs of an optimizer and its variables, one a
                loss. No loss depends on another's variables.
            terms: What has to be finite besides the gradients; see
                `FaultRecord.find`.
            fault: Number of a fault that has been found before, or 0.

        Returns:
            The number of that fault or of one found here, or 0.
        """
        gradients = tape.gradient(
            losses,
            [[each.value for each in variables] for _, variables in updates],
            # The heads of the noise code have none in plain training.
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        found = self.faults.find(
            [*terms, *gradient_terms(self, updates, gradients)]
        )
        fault = tf.where(fault > 0, fault, found)

        def apply():
            for (optimizer, variables), each in zip(
                updates, gradients, strict=True
            ):
                optimizer.apply(each, variables)

        _call_if(fault == 0, apply)
        return fault

    def _finish_step(self, fault, before, data):
        """Counts a step and takes back what one with a fault has changed."""
        self.faults.update(fault, self.batch_indices(data))

        def restore():
            for variable, value in before:
                variable.assign(value)

        if not tf.distribute.has_strategy():
            _call_if(fault > 0, restore)
        self.mark_fault(fault)


class AlternatingStep(PlainStep):
    """The alternating updates of a `JointDistributionGAN`."""

    def train_step(self, data):
        if not self.adversarial:
            return super().train_step(data)
        before = self._read_revocable()
        images, labels, sample_weight = self.unpack_batch(data)
        variables = self.generator_variables
        updates = [(self.optimizer, variables)]
        # Watching only these leaves the image stream on real images, which
        # no generator variable reaches, out of the backward pass.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([each.value for each in variables])
            outputs, encoded, decoded = self.make_tuples(images, labels)

            with tape.stop_recording():
                update_discriminator = self._make_discriminator_update()
                fault = tf.constant(0)
                for _ in range(self.discriminator_steps):
                    discriminator_loss, fault = update_discriminator(
                        encoded, decoded, sample_weight, fault
                    )

            loss = self.compute_generator_loss(
                labels, outputs, encoded, decoded, sample_weight
            )
            scaled = scale_losses([loss], updates)
        fault = self._minimize(tape, scaled, updates, self.loss_terms, fault)
        self.track_discriminator_loss(discriminator_loss, images, sample_weight)
        self._finish_step(fault, before, data)
        return self.get_metrics_result()

    def _make_discriminator_update(self):
        # As a function of its own the update is traced once for all its
        # repetitions. An optimizer cannot run there under a strategy.
        if self.run_eagerly or tf.distribute.has_strategy():
            return self._update_discriminator
        return tf.function(self._update_discriminator, autograph=False)

    def _update_discriminator(self, encoded, decoded, sample_weight, fault):
        variables = self.discriminator.trainable_variables
        updates = [(self.discriminator_optimizer, variables)]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([each.value for each in variables])
            loss = self.compute_discriminator_loss(
                encoded, decoded, sample_weight=sample_weight
            )
            scaled = scale_losses([loss], updates)
        terms = [(self.discriminator_loss_tracker.name, loss)]
        return loss, self._minimize(tape, scaled, updates, terms, fault)


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
