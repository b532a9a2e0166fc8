"""The error of a training whose numbers are no longer finite."""

import math

import keras


class NumericalFault(FloatingPointError):
    """A loss, a gradient or a weight that is not finite.

    Attributes:
        step: Number of the step among all of the model, from 1; None if it
            is not known.
        term: What was not finite: a loss of the logs, such as
            `"affect_loss"`, or the gradient of a weight, or a weight.
        images: Indices of the batch's images, a list; empty where the data
            set does not tell them.
    """

    def __init__(self, message, step=None, term=None, images=()):
        super().__init__(message)
        self.step = step
        self.term = term
        self.images = list(images)


def check_weights(model):
    """Raises `NumericalFault` if a weight is not finite.

    Losses and gradients are watched in each step. That an update of theirs,
    of too large a rate, led beyond what is finite shows in the next one.
    """
    for variable in model.trainable_variables:
        if not math.isfinite(keras.ops.sum(variable.value)):
            raise NumericalFault(
                f"The weight {variable.path} is not finite after the last "
                "update: training was stopped. Compare a smaller learning "
                "rate",
                term=variable.path,
            )
