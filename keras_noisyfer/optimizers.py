"""Adam with one operation a variable."""

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class ScheduleByBatch(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule for an optimizer that updates several times a batch.

    Args:
        schedule: The schedule, as a function of the number of batches.
        updates: Number of updates a batch, at least 1.
    """

    def __init__(self, schedule, updates):
        self.schedule = schedule
        self.updates = updates

    def __call__(self, step):
        return self.schedule(step // self.updates)

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "updates": self.updates,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["updates"])


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` through TensorFlow's fused Adam operation.

    The same update, `variable -= learning_rate * sqrt(1 - beta_2^t) /
    (1 - beta_1^t) * m / (sqrt(v) + epsilon)`, in one operation a variable in
    the place of about twenty. The three networks have some 250 variables, of
    which the discriminator's are updated twice a step: at small widths that
    is a large part of a step's time and of the time to trace it. On JAX,
    which fuses the operations itself, it is `keras.optimizers.Adam`.

    Args:
        learning_rate: A float or a schedule.
        epsilon: Added to the root of the second moment. 1e-8 is the value of
            the paper and of the authors' code; Keras' default is 1e-7.
        **kwargs: The arguments of `keras.optimizers.Adam`, but `amsgrad`.

    Raises:
        ValueError: if `amsgrad` is asked for.

    Reference:

    - [Kingma and Ba, 2015](https://arxiv.org/abs/1412.6980)
    """

    def __init__(
        self, learning_rate=1e-4, epsilon=1e-8, name="fused_adam", **kwargs
    ):
        super().__init__(learning_rate, epsilon=epsilon, name=name, **kwargs)
        if self.amsgrad:
            raise ValueError(
                "`amsgrad` must be False, the fused operation has none. "
                "Received: True"
            )

    if keras.backend.backend() == "tensorflow":

        def _backend_update_step(
            self, grads, trainable_variables, learning_rate
        ):
            # Once for all variables.
            step = ops.cast(self.iterations + 1, "float32")
            self._powers = (
                ops.power(self.beta_1, step),
                ops.power(self.beta_2, step),
            )
            super()._backend_update_step(
                grads, trainable_variables, learning_rate
            )

        def update_step(self, gradient, variable, learning_rate):
            index = self._get_variable_index(variable)
            dtype = variable.dtype
            power_1, power_2 = self._powers
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[index].value.handle,
                v=self._velocities[index].value.handle,
                beta1_power=ops.cast(power_1, dtype),
                beta2_power=ops.cast(power_2, dtype),
                lr=ops.cast(learning_rate, dtype),
                beta1=ops.cast(self.beta_1, dtype),
                beta2=ops.cast(self.beta_2, dtype),
                epsilon=ops.cast(self.epsilon, dtype),
                grad=ops.cast(gradient, dtype),
            )
