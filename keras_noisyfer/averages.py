"""Weights averaged over time, `use_ema=True` of any of a model's optimizers.

Keras pairs the averages of `model.optimizer` with all variables of the model,
in their order. Here each optimizer's averages go to the variables that it has.
"""

from typing import Any

import keras
from keras import ops

from keras_noisyfer.optimizers import inner_optimizer, optimizers_of
from keras_noisyfer.typing import Logs


def averaged(
    model: keras.Model,
) -> list[tuple[keras.Variable, keras.Variable]]:
    """List of pairs of a variable and its average, of which there is none
    before the first update: a discriminator's is after the warm-up."""
    return [
        pair
        for each in _averaging(model)
        if ops.convert_to_numpy(each.iterations) > 0
        for pair in zip(
            each._trainable_variables,
            each._model_variables_moving_average,
            strict=True,
        )
    ]


def _averaging(model):
    optimizers = map(inner_optimizer, optimizers_of(model))
    return [each for each in optimizers if each.use_ema]


def use_averages(model: keras.Model) -> None:
    """Gives the averages to the variables."""
    for variable, average in averaged(model):
        # Keras averages what an update makes, before its constraint.
        constraint = variable.constraint or (lambda value: value)
        variable.assign(constraint(average.value))


def finalize_averages(model: keras.Model) -> None:
    """Lets Keras' trainer end `fit` with all averages in the model."""
    inner_optimizer(model.optimizer).finalize_variable_values = (
        lambda variables: use_averages(model)
    )


class UseAverages(keras.callbacks.Callback):
    """Lets validation, and the callbacks behind it, see the averaged weights,
    which `fit` ends with.

    They stay there from the end of an epoch until `LeaveAverages`, which
    stands behind all that save or look at a model.
    """

    def __init__(self):
        super().__init__()
        self._kept = None

    def enter(self) -> None:
        """Puts the averages in the place of the weights."""
        if self._kept is None:
            variables = [variable for variable, _ in averaged(self.model)]
            self._kept = [
                (each, ops.convert_to_numpy(each).copy()) for each in variables
            ]
            use_averages(self.model)

    def leave(self) -> None:
        """Puts the weights back."""
        for variable, value in self._kept or ():
            variable.assign(value)
        self._kept = None

    def on_test_begin(self, logs: Logs = None) -> None:
        self.enter()

    def on_test_end(self, logs: Logs = None) -> None:
        self.leave()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.enter()


class LeaveAverages(keras.callbacks.Callback):
    """Ends what `UseAverages` begins.

    Args:
        averages: The `UseAverages`.
    """

    def __init__(self, averages: UseAverages):
        super().__init__()
        self._averages = averages

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._averages.leave()


def average_callbacks(model: keras.Model, callbacks: Any) -> list[Any]:
    """Callbacks of `fit`, with the two of these around them where weights are
    averaged; Keras' `SwapEMAWeights` among them has their place."""
    swapping = any(
        isinstance(each, keras.callbacks.SwapEMAWeights) for each in callbacks
    )
    if swapping or not _averaging(model):
        return callbacks
    averages = UseAverages()
    return [averages, *callbacks, LeaveAverages(averages)]
