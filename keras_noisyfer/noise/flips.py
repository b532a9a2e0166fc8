"""Class ids replaced by others, whatever the image shows."""

from collections.abc import Sequence

import numpy as np

from keras_noisyfer.arguments import check_number
from keras_noisyfer.noise.checks import (
    MISSING,
    check_class_ids,
    make_generator,
    require,
)
from keras_noisyfer.typing import ArrayLike, Seed


def flip_labels(
    labels: ArrayLike,
    num_classes: int,
    rate: float,
    mode: str = "exclusive",
    pairs: Sequence[Sequence[int]] | None = None,
    seed: Seed = 0,
) -> np.ndarray:
    """Replaces a random fraction of class ids.

    Args:
        labels: Integer array of shape `(n,)`; missing labels stay missing.
        num_classes: Number of classes, at least 2.
        rate: Probability in `[0, 1]` that a label is replaced.
        mode: `"exclusive"`: by one of the other classes, so that `rate` is
            the noise realised. `"inclusive"`: by one of all classes, itself
            among them, as in the paper's experiment, whose 20, 30 and 40 %
            are about 18, 27 and 36 % realised for ten classes. `"pairs"`: by
            the class it is paired with; a class in no pair flips as in
            `"exclusive"`, so that `rate` holds for every class.
        pairs: For `mode="pairs"`: disjoint pairs of class ids which annotators
            confuse, such as `[(anger, disgust), (surprise, fear)]`.
        seed: Int or `np.random.Generator`.

    Returns:
        int32 array of shape `(n,)`.

    Raises:
        ValueError: If an argument is out of range or of the wrong kind.

    Example:

    >>> flip_labels([0, 1, 1], 3, rate=1.0, mode="pairs", pairs=[(0, 1)])
    array([1, 0, 0], dtype=int32)

    Reference:

    - [Zhang et al., 2021, section 5.1](https://arxiv.org/abs/2010.09849)
    """
    check_number("rate", rate, minimum=0, maximum=1)
    check_mode(mode, pairs)
    labels = check_class_ids("labels", labels, num_classes)
    generator = make_generator(seed, "flip_labels")
    flipped = (generator.random(labels.shape) < rate) & (labels != MISSING)
    if mode == "inclusive":
        replacement = generator.integers(num_classes, size=labels.shape)
    else:
        # Shifts of 1 ... num_classes - 1 reach every class but the label's own.
        shift = generator.integers(1, num_classes, size=labels.shape)
        replacement = (labels + shift) % num_classes
    if mode == "pairs" and pairs is not None:
        paired = {class_id for pair in pairs for class_id in pair}
        expected = f"`pairs` must hold class ids in [0, {num_classes})"
        require(paired <= set(range(num_classes)), expected, pairs)
        for a, b in pairs:
            replacement[labels == a] = b
            replacement[labels == b] = a
    return np.where(flipped, replacement, labels).astype("int32")


def check_mode(mode: str, pairs: Sequence[Sequence[int]] | None) -> None:
    """Checks `mode` and `pairs` of `flip_labels`."""
    modes = ("exclusive", "inclusive", "pairs")
    require(mode in modes, f"`mode` must be one of {modes}", mode)
    if mode != "pairs":
        require(pairs is None, "`pairs` is for mode='pairs' only", pairs)
        return
    pairs = () if pairs is None else pairs
    paired = [class_id for pair in pairs for class_id in pair]
    disjoint = len(set(paired)) == len(paired) > 0
    valid = disjoint and all(len(pair) == 2 for pair in pairs)
    expected = "`pairs` must be disjoint pairs of class ids for mode='pairs'"
    require(valid, expected, pairs)
