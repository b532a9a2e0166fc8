"""Types that the package's signatures share."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike as ArrayLike

if TYPE_CHECKING:
    from keras_noisyfer.tasks import Task

# A tensor of whichever backend runs, or an array.
Tensor = Any
Tasks = Sequence["Task"]
# Labels, or what is made of them, by task name.
Labels = dict[str, Tensor]
# Weights of the images, or of what a mean is of; None where all are equal.
Weights = Tensor | None
# The logs that Keras gives to callbacks.
Logs = dict[str, Any] | None
# Pairs of an optimizer and its variables, and of a name and a scalar.
Updates = Sequence[tuple[Any, Sequence[Any]]]
Terms = Sequence[tuple[str, Tensor]]
PathLike = str | os.PathLike[str]
# Integers and, of inputs, None for a size that is not known.
Shape = Sequence[Any]
Seed = int | np.random.Generator
# From class ids or values to the labels of a simulated annotator.
Annotator = Callable[..., np.ndarray]
# From a batch of images and a seed to images.
Augmentation = Callable[[Tensor, Tensor], Tensor]
