"""Train steps of the TensorFlow backend, with `tf.GradientTape`."""

import contextlib

import tensorflow as tf

from keras_noisyfer.models.training import scale_losses


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
        with tf.GradientTape() as tape:
            losses = scale_losses(
                self.compute_training_losses(data), self.plain_updates
            )
        self._minimize(tape, losses, self.plain_updates)
        return self.get_metrics_result()

    def test_step(self, data):
        return self.evaluate_batch(data)

    def predict_step(self, data):
        return self.predict_batch(data)

    def _minimize(self, tape, losses, updates):
        """Applies the gradients of recorded losses.

        Args:
            tape: `tf.GradientTape`.
            losses: List of the scaled scalars that it has recorded.
            updates: List of pairs of an optimizer and its variables, one a
                loss. No loss depends on another's variables.
        """
        gradients = tape.gradient(
            losses,
            [[each.value for each in variables] for _, variables in updates],
            # The heads of the noise code have none in plain training.
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        for (optimizer, variables), each in zip(
            updates, gradients, strict=True
        ):
            optimizer.apply(each, variables)


class AlternatingStep(PlainStep):
    """The alternating updates of a `JointDistributionGAN`."""

    def train_step(self, data):
        if not self.adversarial:
            return super().train_step(data)
        images, labels = self.unpack_batch(data)
        variables = self.generator_variables
        updates = [(self.optimizer, variables)]
        # Watching only these leaves the image stream on real images, which
        # no generator variable reaches, out of the backward pass.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([each.value for each in variables])
            outputs, encoded, decoded = self.make_tuples(images, labels)

            with tape.stop_recording():
                update_discriminator = self._make_discriminator_update()
                for _ in range(self.discriminator_steps):
                    discriminator_loss = update_discriminator(encoded, decoded)

            loss = self.compute_generator_loss(
                labels, outputs, encoded, decoded
            )
            scaled = scale_losses([loss], updates)
        self._minimize(tape, scaled, updates)
        self.track_discriminator_loss(discriminator_loss, images)
        return self.get_metrics_result()

    def _make_discriminator_update(self):
        # As a function of its own the update is traced once for all its
        # repetitions. An optimizer cannot run there under a strategy.
        if self.run_eagerly or tf.distribute.has_strategy():
            return self._update_discriminator
        return tf.function(self._update_discriminator, autograph=False)

    def _update_discriminator(self, encoded, decoded):
        variables = self.discriminator.trainable_variables
        updates = [(self.discriminator_optimizer, variables)]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([each.value for each in variables])
            loss = self.compute_discriminator_loss(encoded, decoded)
            scaled = scale_losses([loss], updates)
        self._minimize(tape, scaled, updates)
        return loss
