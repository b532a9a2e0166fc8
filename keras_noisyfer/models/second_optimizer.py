"""What Keras does for a model's optimizer, for a second one.

Keras' trainer knows `model.optimizer` alone. What it or a callback does to
that one holds for the second, or is refused.
"""

import keras

from keras_noisyfer.arguments import one_line
from keras_noisyfer.optimizers import ScheduleByBatch

LossScaleOptimizer = keras.optimizers.LossScaleOptimizer
Schedule = keras.optimizers.schedules.LearningRateSchedule


def prepare_optimizer(model, argument, optimizer, variables):
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
    inner = _inner(optimizer)
    if inner.use_ema and _ids(variables) != _ids(model.trainable_variables):
        # At the end of `fit` Keras gives the averages to the variables of
        # the model, one after another.
        raise ValueError(
            f"`{argument}` must have use_ema=False for a "
            f"{type(model).__name__}, to whose other variables Keras would "
            f"give the averages. Received: {inner.name} with use_ema=True"
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


def make_second_optimizer(model, argument, optimizer, variables, updates=1):
    """The second optimizer of a model, ready to update variables.

    Args:
        model: A model that is compiled with its first one.
        argument: Name of the argument of `compile`, for the message.
        optimizer: What was given: None for a copy of the first one.
        variables: The variables that it is to update.
        updates: How often it does so in each batch.

    Raises:
        ValueError: see `prepare_optimizer`; also if it is the first one, that
            one cannot be copied, or gradients were to be accumulated over
            several updates a batch.
    """
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
    inner = _inner(optimizer)
    if updates > 1 and inner.gradient_accumulation_steps:
        raise ValueError(
            f"`{argument}` must not accumulate gradients, since it updates "
            f"{updates} times a batch: give one that does not, or "
            "`discriminator_steps=1` to the model. Received: "
            f"gradient_accumulation_steps={inner.gradient_accumulation_steps}"
        )
    rate = _learning_rate(inner)
    if (
        updates > 1
        and isinstance(rate, Schedule)
        and not isinstance(rate, ScheduleByBatch)
    ):
        inner.learning_rate = ScheduleByBatch(rate, updates)
    prepare_optimizer(model, argument, optimizer, variables)
    return optimizer


class PassOnLearningRate(keras.callbacks.Callback):
    """Changes the learning rates of a model's second optimizers by the factor
    that other callbacks change the first one's by.

    It stands behind them. A second one that was changed itself keeps its rate.
    """

    async_safe = keras.backend.backend() == "tensorflow"

    def on_train_begin(self, logs=None):
        self._optimizers = [
            each
            for each in (self.model.optimizer, *self.model.second_optimizers)
            if not isinstance(_learning_rate(_inner(each)), Schedule)
        ]
        if self.model.optimizer not in self._optimizers:
            self._optimizers = []
        self._rates, self._ratios = self._read(), {}
        for index in range(len(self._rates)):
            self._keep_ratio(index, self._rates)

    def on_epoch_begin(self, epoch, logs=None):
        self._pass_on()

    def on_epoch_end(self, epoch, logs=None):
        self._pass_on()

    def _pass_on(self):
        rates = self._read()
        for index, optimizer in enumerate(self._optimizers):
            if rates[index] != self._rates[index]:
                self._keep_ratio(index, rates)
            elif rates[0] != self._rates[0] and index in self._ratios:
                optimizer.learning_rate = self._ratios[index] * rates[0]
        self._rates = self._read()

    def _keep_ratio(self, index, rates):
        # At a rate of 0 there is none; the last one holds.
        if index and rates[0] > 0:
            self._ratios[index] = rates[index] / rates[0]

    def _read(self):
        # Of a mirrored variable too, which is no number.
        return [float(each.learning_rate.numpy()) for each in self._optimizers]


def _copy(optimizer, argument):
    """A new optimizer with the configuration of another."""
    inner = _inner(optimizer)
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


def _inner(optimizer):
    if isinstance(optimizer, LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer


def _learning_rate(optimizer):
    # The property gives a schedule's current value.
    return optimizer._learning_rate


def _known_variables(optimizer):
    return optimizer._trainable_variables


def _ids(variables):
    return [id(each) for each in variables]
