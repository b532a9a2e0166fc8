"""Fused Adam, and what Keras does for a model's optimizer, for a second one.

Keras' trainer knows `model.optimizer` alone. What it or a callback does to
that one holds for the second, or is refused.
"""

from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_noisyfer.arguments import one_line
from keras_noisyfer.typing import Tensor

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

LossScaleOptimizer = keras.optimizers.LossScaleOptimizer
Schedule = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class ScheduleByBatch(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule for an optimizer that does not update once a batch.

    Args:
        schedule: The schedule, as a function of the number of batches.
        updates: Number of updates in a batch that has any, at least 1.
        every: Period of the batches that have any, at least 1.
    """

    def __init__(
        self,
        schedule: keras.optimizers.schedules.LearningRateSchedule,
        updates: int,
        every: int = 1,
    ):
        self.schedule = schedule
        self.updates = updates
        self.every = every

    def __call__(self, step: Tensor) -> Tensor:
        return self.schedule(step // self.updates * self.every)

    def get_config(self) -> dict[str, Any]:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "updates": self.updates,
            "every": self.every,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["updates"], config["every"])


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
        self,
        learning_rate: Any = 1e-4,
        epsilon: float = 1e-8,
        name: str = "fused_adam",
        **kwargs: Any,
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
            step = ops.cast(self.iterations + 1, "float32")
            numbers = {
                "beta1_power": ops.power(self.beta_1, step),
                "beta2_power": ops.power(self.beta_2, step),
                "lr": learning_rate,
                "beta1": self.beta_1,
                "beta2": self.beta_2,
                "epsilon": self.epsilon,
            }
            # Once for all variables of a type, not for each.
            self._numbers = {
                dtype: {n: ops.cast(each, dtype) for n, each in numbers.items()}
                for dtype in {each.dtype for each in trainable_variables}
            }
            super()._backend_update_step(
                grads, trainable_variables, learning_rate
            )

        def update_step(
            self,
            gradient: Tensor,
            variable: keras.Variable,
            learning_rate: Tensor,
        ) -> None:
            index = self._get_variable_index(variable)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[index].value.handle,
                v=self._velocities[index].value.handle,
                grad=ops.cast(gradient, variable.dtype),
                **self._numbers[self._trainable_variables[index].dtype],
            )


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """All optimizers of a compiled model, `optimizer` first."""
    return [model.optimizer, *model.second_optimizers.values()]


def prepare_optimizer(
    model: keras.Model,
    argument: str,
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
) -> None:
    """Checks an optimizer and creates its state.

    Args:
        model: The model that it is to train.
        argument: Name of the argument of `compile`, for the message.
        optimizer: The optimizer.
        variables: The variables that it is to update.

    Raises:
        ValueError: if it cannot update them as Keras would.
    """
    if keras.backend.backend() == "jax" and isinstance(
        optimizer, LossScaleOptimizer
    ):
        raise ValueError(
            "`dtype` must be 'float32' or 'mixed_bfloat16' on JAX, whose step "
            "cannot scale losses. Received: a LossScaleOptimizer, which "
            "'mixed_float16' needs"
        )
    inner = inner_optimizer(optimizer)
    if not hasattr(inner, "learning_rate"):
        raise ValueError(
            f"`{argument}` must have one learning rate for all variables. "
            f"Received: a {type(inner).__name__}"
        )
    if inner.use_ema and not variables:
        raise ValueError(
            f"`{argument}` must have use_ema=False for a "
            f"{type(model).__name__}, whose weights it does not update. "
            f"Received: {inner.name} with use_ema=True"
        )
    if not optimizer.built:
        # Without this its state is not there yet when a file is loaded, and
        # is silently not restored.
        optimizer.build(variables)
    elif not set(_ids(variables)) <= set(_ids(_known_variables(inner))):
        raise ValueError(
            f"`{argument}` must be a new optimizer, or one of these variables. "
            f"Received: {inner.name}, which has the state of others"
        )


def make_second_optimizer(
    model: keras.Model,
    argument: str,
    optimizer: keras.optimizers.Optimizer | None,
    variables: Sequence[keras.Variable],
    updates: int = 1,
    every: int = 1,
) -> keras.optimizers.Optimizer:
    """The second optimizer of a model, ready to update variables.

    Args:
        model: A model that is compiled with its first one.
        argument: Name of the argument of `compile`, for the message.
        optimizer: What was given: None for a copy of the first one.
        variables: The variables that it is to update.
        updates: How often it does so in a batch.
        every: Period of the batches in which it does so.

    Raises:
        ValueError: see `prepare_optimizer`; also if it is the first one, that
            one cannot be copied, or gradients were to be accumulated over
            several updates a batch, or by the first one over batches of
            which some have no gradients for all its variables.
    """
    first = inner_optimizer(model.optimizer)
    # Keras empties the sums of all variables in an update of some.
    if every > 1 and first.gradient_accumulation_steps:
        raise ValueError(
            "`optimizer` must not accumulate gradients with `joint_every` "
            "above 1, where most batches have none for the decoder. Received: "
            f"gradient_accumulation_steps={first.gradient_accumulation_steps}"
        )
    if optimizer is None:
        optimizer = _copy(model.optimizer, argument)
    optimizer = keras.optimizers.get(optimizer)
    if optimizer is model.optimizer:
        raise ValueError(
            f"`{argument}` must be another object than `optimizer`. "
            f"Received: the same, {optimizer.name!r}"
        )
    if isinstance(model.optimizer, LossScaleOptimizer) and not isinstance(
        optimizer, LossScaleOptimizer
    ):
        optimizer = LossScaleOptimizer(optimizer)
    inner = inner_optimizer(optimizer)
    if updates > 1 and inner.gradient_accumulation_steps:
        raise ValueError(
            f"`{argument}` must not accumulate gradients, since it updates "
            f"{updates} times a batch: give one that does not, or "
            "`discriminator_steps=1` to the model. Received: "
            f"gradient_accumulation_steps={inner.gradient_accumulation_steps}"
        )
    rate = rate_of(inner)
    if isinstance(rate, ScheduleByBatch):
        # That of another model, which may have other numbers.
        inner.learning_rate = rate = rate.schedule
    if updates * every > 1 and isinstance(rate, Schedule):
        inner.learning_rate = ScheduleByBatch(rate, updates, every)
    prepare_optimizer(model, argument, optimizer, variables)
    return optimizer


def _copy(optimizer, argument):
    """A new optimizer with the configuration of another."""
    inner = inner_optimizer(optimizer)
    problem = None
    # Keras keeps it out of the configuration.
    for name in ("", "_pattern"):
        if getattr(inner, f"_exclude_from_weight_decay{name}", None):
            problem = "variables excluded from its weight decay"
    if problem is None:
        try:
            return type(optimizer).from_config(optimizer.get_config())
        except Exception as error:
            problem = f"{type(error).__name__}: {one_line(error)}"
    raise ValueError(
        f"`{argument}` must be given, since `optimizer` cannot be copied. "
        f"Received: {inner.name} with {problem}"
    )


def inner_optimizer(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """The optimizer within one that scales its loss, or that itself."""
    if isinstance(optimizer, LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer


def rate_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """The learning rate of an optimizer, or its schedule."""
    # The property gives a schedule's current value.
    return inner_optimizer(optimizer)._learning_rate


def _known_variables(optimizer):
    return optimizer._trainable_variables


def _ids(variables):
    return [id(each) for each in variables]
