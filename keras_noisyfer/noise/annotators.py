"""Simulated annotators, each a source of labels with its own mistakes."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_noisyfer.arguments import check_number
from keras_noisyfer.noise.checks import make_generator, require
from keras_noisyfer.noise.flips import check_mode, flip_labels
from keras_noisyfer.noise.instance import (
    check_probabilities,
    flip_labels_by_instance,
)
from keras_noisyfer.noise.missing import drop_labels
from keras_noisyfer.noise.values import perturb_values
from keras_noisyfer.typing import Annotator, ArrayLike, Seed


@dataclasses.dataclass(frozen=True)
class CategoricalAnnotator:
    """Mistakes classes; `annotator(truth, num_classes, seed)` gives labels.

    Args:
        rate, mode, pairs: See `flip_labels`.
        missing: Probability in `[0, 1]` that a label is left out.
    """

    rate: float = 0.2
    mode: str = "exclusive"
    pairs: tuple | None = None
    missing: float = 0.0

    def __post_init__(self):
        check_number("rate", self.rate, minimum=0, maximum=1)
        check_number("missing", self.missing, minimum=0, maximum=1)
        check_mode(self.mode, self.pairs)

    def __call__(
        self, truth: ArrayLike, num_classes: int, seed: Seed = 0
    ) -> np.ndarray:
        generator = make_generator(seed, "annotator")
        noise = (self.rate, self.mode, self.pairs)
        labels = flip_labels(truth, num_classes, *noise, seed=generator)
        return drop_labels(labels, self.missing, generator)


# Compared by identity, since arrays have no single truth value.
@dataclasses.dataclass(frozen=True, eq=False)
class InstanceDependentAnnotator:
    """Mistakes the classes of images that a model finds hard to tell.

    `annotator(truth, num_classes, seed)` gives labels.

    Args:
        probabilities: Float array of shape `(n, num_classes)`, what a model
            holds each image for, in the order of the truth; see
            `flip_labels_by_instance`.
        rate: Expected fraction of labels replaced, in `[0, 1]`.
        missing: Probability in `[0, 1]` that a label is left out.

    Example:

    >>> probabilities = model.predict(data.batches((64, 64, 3)))["expression"]
    >>> annotator = InstanceDependentAnnotator(probabilities, rate=0.3)
    >>> noisy = data.with_noise({"expression": [annotator]})
    """

    probabilities: np.ndarray = dataclasses.field(repr=False)
    rate: float
    missing: float = 0.0

    def __post_init__(self):
        check_number("rate", self.rate, minimum=0, maximum=1)
        check_number("missing", self.missing, minimum=0, maximum=1)
        check_probabilities(self.probabilities)

    def __call__(
        self, truth: ArrayLike, num_classes: int, seed: Seed = 0
    ) -> np.ndarray:
        generator = make_generator(seed, "annotator")
        shape = np.shape(self.probabilities)
        expected = f"`probabilities` must have {num_classes} columns, one a "
        require(shape[1] == num_classes, f"{expected}class", f"shape {shape}")
        noise = (self.probabilities, self.rate)
        labels = flip_labels_by_instance(truth, *noise, seed=generator)
        return drop_labels(labels, self.missing, generator)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContinuousAnnotator:
    """Misjudges values in `[-1, 1]`; `annotator(truth, seed)` gives labels.

    Args:
        bias, standard_deviation: See `perturb_values`.
        missing: Probability in `[0, 1]` that a label is left out.
    """

    bias: float | tuple = (0.1, -0.1)
    standard_deviation: float | tuple = 0.2
    missing: float = 0.0

    def __post_init__(self):
        check_number("missing", self.missing, minimum=0, maximum=1)

    def __call__(self, truth: ArrayLike, seed: Seed = 0) -> np.ndarray:
        generator = make_generator(seed, "annotator")
        noise = (self.bias, self.standard_deviation)
        labels = perturb_values(truth, *noise, seed=generator)
        return drop_labels(labels, self.missing, generator)


def annotate(
    truth: ArrayLike,
    annotators: Sequence[Annotator],
    num_classes: int | None = None,
    seed: Seed = 0,
) -> np.ndarray:
    """Has several independent annotators label the same truth.

    Each annotator has its own random stream: adding one leaves the labels of
    those before it as they were. Give each task a seed of its own.

    Args:
        truth: Class ids of shape `(n,)`, or values in `[-1, 1]` of shape
            `(n, dimensions)`.
        annotators: `CategoricalAnnotator`s and `InstanceDependentAnnotator`s,
            or `ContinuousAnnotator`s.
        num_classes: Number of classes, for categorical annotators.
        seed: Int or `np.random.Generator`.

    Returns:
        int32 array of shape `(n, annotators)`, or float32 array of shape
        `(n, annotators, dimensions)`.

    Raises:
        ValueError: If there is no annotator, or some are for classes and
            others for values.

    Example:

    >>> labels = annotate(truth, PAPER_ANNOTATORS, num_classes=10, seed=1)
    >>> print(format_realised_noise("object", realised_noise(labels, truth)))
    """
    kinds = {type(annotator) for annotator in annotators}
    of_classes = {CategoricalAnnotator, InstanceDependentAnnotator}
    one_kind = kinds and (kinds <= of_classes or kinds == {ContinuousAnnotator})
    expected = "`annotators` must be one or more annotators of one kind"
    require(one_kind, expected, annotators)
    sizes = () if ContinuousAnnotator in kinds else (num_classes,)
    streams = make_generator(seed, "annotate").spawn(len(annotators))
    each = zip(annotators, streams, strict=True)
    return np.stack([a(truth, *sizes, stream) for a, stream in each], axis=1)


# The three label sets of the paper's CIFAR-10 experiment.
PAPER_ANNOTATORS = tuple(
    CategoricalAnnotator(rate, "inclusive") for rate in (0.2, 0.3, 0.4)
)
