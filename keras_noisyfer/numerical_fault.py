"""The error of a training whose numbers are no longer finite."""

import math
from collections.abc import Sequence
from typing import Any

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

    def __init__(
        self,
        message: str,
        step: int | None = None,
        term: str | None = None,
        images: Sequence[int] = (),
    ):
        super().__init__(message)
        self.step = step
        self.term = term
        self.images = list(images)


def check_weights(model: keras.Model) -> None:
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


def raise_fault(model: keras.Model) -> None:
    """Raises `NumericalFault` if the last step had one that stops training."""
    fault = model.fault_guard.pop()
    if fault is not None and model.on_nonfinite == "raise":
        # The mark is in the loss that they tell, and Keras 3.12 takes them on
        # into the next batch.
        model.reset_metrics()
        raise make_fault(fault, STOPPED)


STOPPED = (
    "{fault}: training was stopped before that update. "
    "compile(on_nonfinite='skip') leaves such batches out"
)
NOT_VALID = (
    "{fault}: training was stopped. The weights are those of its last update; "
    "look for values that are not finite in `validation_data`"
)
SKIPPED = (
    "{fault}: the batch was left out. The logs count such batches in "
    "skipped_batches; they are not told of again"
)
ALL_SKIPPED = (
    "{fault}, and so were all other batches of that epoch: training was "
    "stopped, for the weights or all labels are at fault"
)


def make_fault(
    fault: tuple[Any, str, Sequence[int]],
    message: str,
    epoch: int | None = None,
) -> NumericalFault:
    """The error of a fault, as `FaultGuard.pop` returns it, with one of the
    messages above."""
    step, term, images = fault
    place = [] if epoch is None else [f"epoch {epoch + 1}"]
    if step is not None:
        place.append(f"step {step}")
        if images:
            place.append("images " + ", ".join(map(str, images)))
        else:
            place[-1] += " (a data set `with_index=True` tells the images)"
    text = f"The {term} was not finite in {', '.join(place)}"
    return NumericalFault(message.format(fault=text), step, term, images)
