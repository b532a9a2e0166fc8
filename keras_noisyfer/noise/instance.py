"""Class ids replaced where a model finds the image hard to tell."""

import numpy as np

from keras_noisyfer.arguments import check_number
from keras_noisyfer.noise.checks import (
    MISSING,
    check_array,
    check_class_ids,
    make_generator,
    require,
)
from keras_noisyfer.typing import ArrayLike, Seed

# Probabilities in half precision add up to one within this.
SUM_TOLERANCE = 1e-2


def instance_flip_probabilities(
    labels: ArrayLike, probabilities: ArrayLike, rate: float
) -> np.ndarray:
    """Each label's chance of a flip, by how near its decision boundary is.

    It is `min(1, scale * (1 - margin))`, where the margin, in `[-1, 1]`, is
    the model's probability of the label's class less that of the most likely
    other class: 0 on the boundary between the two, negative beyond it. The
    one `scale` with which the mean is `rate` is computed exactly.

    Args:
        labels: Integer array of shape `(n,)`; missing labels have chance 0
            and take no part in the mean.
        probabilities: Float array of shape `(n, num_classes)`, what a model
            holds each image for: rows add up to 1.
        rate: Mean chance of a flip, in `[0, 1]`.

    Returns:
        float64 array of shape `(n,)`.

    Raises:
        ValueError: If an argument is out of range or of the wrong kind, the
            lengths differ, or `rate` is out of reach: a label that the model
            is certain of, with probability 1, never flips.

    Example:

    >>> probabilities = np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]])
    >>> instance_flip_probabilities([0, 0, 0], probabilities, rate=0.25)
    array([0.  , 0.25, 0.5 ])
    """
    check_number("rate", rate, minimum=0, maximum=1)
    probabilities = check_probabilities(probabilities)
    labels = check_class_ids("labels", labels, probabilities.shape[1])
    rows = len(probabilities)
    expected = f"`probabilities` must have one row a label: {len(labels)}"
    require(rows == len(labels), expected, f"{rows} rows")
    known = labels != MISSING
    own, others = _split(labels[known], probabilities[known])
    # Rows that add up to slightly more than 1 must not give a negative one.
    hardness = np.maximum(1 - own + others.max(axis=1), 0)
    chances = np.zeros(len(labels))
    if rate > 0 and known.any():
        chances[known] = _scale_to_mean(hardness, rate)
    return chances


def flip_labels_by_instance(
    labels: ArrayLike, probabilities: ArrayLike, rate: float, seed: Seed = 0
) -> np.ndarray:
    """Replaces class ids, the sooner the nearer the decision boundary.

    A label flips with the chance of `instance_flip_probabilities`, to the
    other class that the model holds most likely: the one across the boundary
    that the margin is measured to, as in Zhang et al. and in Chen et al. So
    annotators who err on the same image agree on the wrong class, which no
    vote mends; that is what makes this noise hard. Equally likely classes
    are drawn among at random.

    Args:
        labels: Integer array of shape `(n,)`; missing labels stay missing.
        probabilities: Float array of shape `(n, num_classes)`, what a model
            holds each image for. Take it from a model that has not learned
            these labels by heart, else nothing is near a boundary; Chen et
            al. take the mean over the epochs of a training.
        rate: Expected fraction of labels replaced, in `[0, 1]`.
        seed: Int or `np.random.Generator`.

    Returns:
        int32 array of shape `(n,)`.

    Raises:
        ValueError: See `instance_flip_probabilities`.

    Example:

    >>> probabilities = model.predict(images)["expression"]
    >>> noisy = flip_labels_by_instance(labels, probabilities, rate=0.3)

    Reference:

    - [Zhang et al., 2021](https://arxiv.org/abs/2103.07756), whose noise
      falls with the margin too, as a polynomial of it
    - [Chen et al., 2021](https://arxiv.org/abs/2012.05458), who flip the
      labels nearest to another class, without chance
    """
    chances = instance_flip_probabilities(labels, probabilities, rate)
    probabilities = np.asarray(probabilities, "float64")
    labels = np.asarray(labels, "int32")
    generator = make_generator(seed, "flip_labels_by_instance")
    flipped = generator.random(labels.shape) < chances
    _, others = _split(labels, probabilities)
    likeliest = others == others.max(axis=1, keepdims=True)
    # -1 keeps the others out of the draw between equally likely classes.
    tie_break = generator.random(others.shape)
    replacement = np.where(likeliest, tie_break, -1).argmax(axis=1)
    return np.where(flipped, replacement, labels).astype("int32")


def check_probabilities(probabilities: ArrayLike) -> np.ndarray:
    """Returns class probabilities of a model as float64, or raises."""
    name = "`probabilities`"
    array = check_array("probabilities", probabilities, np.floating, 2)
    array = array.astype("float64")
    expected = f"{name} must have shape (n, num_classes), two classes or more"
    require(array.shape[1] >= 2, expected, f"shape {array.shape}")
    inside = (array >= 0) & (array <= 1)
    expected = f"{name} must lie in [0, 1], as after a softmax"
    require(inside.all(), expected, array[~inside][:3])
    sums = array.sum(axis=1)
    wrong = np.flatnonzero(abs(sums - 1) > SUM_TOLERANCE)
    received = wrong.size and f"{sums[wrong[0]]} in row {wrong[0]}"
    require(not wrong.size, f"{name} must add up to 1 in each row", received)
    return array


def _split(labels, probabilities):
    """The label's own probability, and all with -1 in its place."""
    others = probabilities.copy()
    rows = np.arange(len(labels))
    # Rows of missing labels (-1) are split too; nobody reads those.
    others[rows, labels] = -1
    return probabilities[rows, labels], others


def _scale_to_mean(weights, mean):
    """`min(1, scale * weights)` with that mean, by the right scale."""
    total = mean * len(weights)
    descending = np.sort(weights[weights > 0])[::-1]
    reach = len(descending) / len(weights)
    expected = (
        f"`rate` must be at most {reach:.6g}, the fraction of labels that "
        "`probabilities` leave in doubt (below 1)"
    )
    require(mean <= reach, expected, mean)
    # With the `k` heaviest at 1, `k + scale * sum(others)` must be the total.
    # The sum of min(1, scale * w) is the smallest of these lines over k, so
    # that it reaches the total where the last of them does.
    heaviest = np.arange(len(descending))
    others = descending[::-1].cumsum()[::-1]
    scale = ((total - heaviest) / others).max()
    return np.minimum(1, scale * weights)
