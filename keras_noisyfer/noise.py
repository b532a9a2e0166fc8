"""Simulated annotators: seeded label noise, and a report of what it did.

NumPy in, NumPy out. A missing label is -1 (class ids) or NaN (values). `seed`
is a non-negative int or a `np.random.Generator`. Every function raises a
`ValueError` that names an argument out of range or of the wrong kind.
"""

import dataclasses
import numbers

import numpy as np

MISSING = -1


def flip_labels(
    labels, num_classes, rate, mode="exclusive", pairs=None, seed=0
):
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
    _check_rate("rate", rate)
    _check_mode(mode, pairs)
    labels = _class_ids("labels", labels, num_classes)
    generator = _generator(seed, "flip_labels")
    flipped = (generator.random(labels.shape) < rate) & (labels != MISSING)
    if mode == "inclusive":
        replacement = generator.integers(num_classes, size=labels.shape)
    else:
        # Shifts of 1 ... num_classes - 1 reach every class but the label's own.
        shift = generator.integers(1, num_classes, size=labels.shape)
        replacement = (labels + shift) % num_classes
    if mode == "pairs":
        paired = {class_id for pair in pairs for class_id in pair}
        expected = f"`pairs` must hold class ids in [0, {num_classes})"
        _require(paired <= set(range(num_classes)), expected, pairs)
        for a, b in pairs:
            replacement[labels == a] = b
            replacement[labels == b] = a
    return np.where(flipped, replacement, labels).astype("int32")


def perturb_values(
    values, bias=0.0, standard_deviation=0.0, value_range=(-1, 1), seed=0
):
    """Adds a bias and Gaussian noise, then clips to the range.

    Args:
        values: Float array of shape `(n, dimensions)`; NaN stays NaN.
        bias: Float, or one per dimension, in the unit of `values`.
        standard_deviation: Float, at least 0, or one per dimension.
        value_range: `(low, high)`, which `values` must lie in.
        seed: Int or `np.random.Generator`.

    Returns:
        float32 array of shape `(n, dimensions)`.
    """
    values = _array("values", values, np.floating, 2)
    low, high = value_range
    outside = values[(values < low) | (values > high)]
    expected = f"`values` must lie in [{low}, {high}]"
    _require(not outside.size, expected, outside[:3])
    scale = np.asarray(standard_deviation)
    for name, value in ("bias", bias), ("standard_deviation", scale):
        fits = np.shape(value) in ((), values.shape[1:])
        expected = f"`{name}` must be finite, one float or one per dimension"
        _require(fits and np.isfinite(value).all(), expected, value)
    _require((scale >= 0).all(), "`standard_deviation` must be >= 0", scale)
    generator = _generator(seed, "perturb_values")
    noise = bias + scale * generator.standard_normal(values.shape)
    return np.clip(values + noise, low, high).astype("float32")


def drop_labels(labels, rate, seed=0):
    """Makes a random fraction of labels missing.

    Args:
        labels: Class ids of shape `(n,)` or `(n, annotators)`, or values of
            shape `(n, dimensions)` or `(n, annotators, dimensions)`, whose
            dimensions go missing together.
        rate: Probability in `[0, 1]` that a label goes missing.
        seed: Int or `np.random.Generator`.

    Returns:
        int32 or float32 array, shaped like `labels`.
    """
    _check_rate("rate", rate)
    labels = _either_kind("labels", labels)
    categorical = labels.dtype == "int32"
    shape = labels.shape if categorical else labels.shape[:-1]
    dropped = _generator(seed, "drop_labels").random(shape) < rate
    labels[dropped] = MISSING if categorical else np.nan
    return labels


def majority_vote(labels, num_classes, seed=0):
    """Returns the class most annotators chose, ties broken at random.

    Args:
        labels: Integer array of shape `(n, annotators)`, missing ones ignored.
        num_classes: Number of classes, at least 2.
        seed: Int or `np.random.Generator`, for the ties.

    Returns:
        int32 array of shape `(n,)`; -1 where every label is missing.
    """
    labels = _class_ids("labels", labels, num_classes, 2)
    rows, columns = np.nonzero(labels != MISSING)
    ballots = rows * num_classes + labels[rows, columns]
    votes = np.bincount(ballots, minlength=len(labels) * num_classes)
    votes = votes.reshape(-1, num_classes)
    # Less than one vote each, so it decides between equal counts only.
    tie_break = _generator(seed, "majority_vote").random(votes.shape) / 2
    winner = np.argmax(votes + tie_break, axis=1)
    return np.where(votes.any(axis=1), winner, MISSING).astype("int32")


def mean_vote(values):
    """Returns the mean of the annotators' values.

    Args:
        values: Float array of shape `(n, annotators, dimensions)`, missing
            ones ignored.

    Returns:
        float32 array of shape `(n, dimensions)`; NaN where all are missing.
    """
    values = _array("values", values, np.floating, 3)
    return _nanmean(values, axis=1).astype("float32")


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
        _check_rate("rate", self.rate)
        _check_rate("missing", self.missing)
        _check_mode(self.mode, self.pairs)

    def __call__(self, truth, num_classes, seed=0):
        generator = _generator(seed, "annotator")
        noise = (self.rate, self.mode, self.pairs)
        labels = flip_labels(truth, num_classes, *noise, seed=generator)
        return drop_labels(labels, self.missing, generator)


@dataclasses.dataclass(frozen=True)
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
        _check_rate("missing", self.missing)

    def __call__(self, truth, seed=0):
        generator = _generator(seed, "annotator")
        noise = (self.bias, self.standard_deviation)
        labels = perturb_values(truth, *noise, seed=generator)
        return drop_labels(labels, self.missing, generator)


def annotate(truth, annotators, num_classes=None, seed=0):
    """Has several independent annotators label the same truth.

    Each annotator has its own random stream: adding one leaves the labels of
    those before it as they were. Give each task a seed of its own.

    Args:
        truth: Class ids of shape `(n,)`, or values in `[-1, 1]` of shape
            `(n, dimensions)`.
        annotators: `CategoricalAnnotator`s, or `ContinuousAnnotator`s.
        num_classes: Number of classes, for categorical annotators.
        seed: Int or `np.random.Generator`.

    Returns:
        int32 array of shape `(n, annotators)`, or float32 array of shape
        `(n, annotators, dimensions)`.

    Raises:
        ValueError: If there is no annotator, or they are of several kinds.

    Example:

    >>> labels = annotate(truth, PAPER_ANNOTATORS, num_classes=10, seed=1)
    >>> print(format_realised_noise("object", realised_noise(labels, truth)))
    """
    kinds = {type(annotator) for annotator in annotators}
    one_kind = kinds in ({CategoricalAnnotator}, {ContinuousAnnotator})
    expected = "`annotators` must be one or more annotators of one kind"
    _require(one_kind, expected, annotators)
    sizes = () if ContinuousAnnotator in kinds else (num_classes,)
    streams = _generator(seed, "annotate").spawn(len(annotators))
    each = zip(annotators, streams, strict=True)
    return np.stack([a(truth, *sizes, stream) for a, stream in each], axis=1)


def realised_noise(labels, truth):
    """Measures how far the labels of each annotator are from the truth.

    Args:
        labels: Class ids of shape `(n,)` or `(n, annotators)`, or values of
            shape `(n, dimensions)` or `(n, annotators, dimensions)`.
        truth: Class ids of shape `(n,)`, or values of shape `(n, dimensions)`.

    Returns:
        A list of one dict per annotator: `"n"` (samples), `"missing"`
        (fraction) and, over the labels that are there, `"wrong"` (fraction),
        or lists over the dimensions of `"rmse"`, `"bias"` and `"ccc"`, the
        concordance correlation coefficient. NaN where undefined.

    Raises:
        ValueError: If the arguments differ in kind, length or dimensions.
    """
    labels, truth = _either_kind("labels", labels), _either_kind("truth", truth)
    received = f"{labels.dtype} {labels.shape}, {truth.dtype} {truth.shape}"
    expected = "`labels` must match `truth` in kind, length and dimensions"
    rank = 1 if truth.dtype == "int32" else 2
    if labels.ndim == rank:
        labels = labels[:, None]
    shape = labels.shape[:1] + labels.shape[2:]
    matches = shape == truth.shape and labels.ndim == rank + 1
    _require(matches and labels.dtype == truth.dtype, expected, received)
    missing, truth = _missing(labels), truth[:, None]
    if labels.dtype == "int32":
        known = ~(missing | _missing(truth))
        wrong = np.where(known, labels != truth, np.nan)
        measures = {"missing": missing, "wrong": _nanmean(wrong, axis=0)}
    else:
        measures = {"missing": missing.any(-1), **_deviation(labels, truth)}
    measures["missing"] = measures["missing"].mean(axis=0)
    return [
        {"n": len(truth), **{key: m[i].tolist() for key, m in measures.items()}}
        for i in range(labels.shape[1])
    ]


def format_realised_noise(name, report):
    """Returns the report of `realised_noise` as text to print.

    Args:
        name: Name of the task.
        report: What `realised_noise` returned.

    Returns:
        One line per annotator, such as `expression annotator 0: 19.8 % wrong,
        5.1 % missing (n = 2,000)`; slashes separate dimensions.
    """
    lines = []
    for index, entry in enumerate(report):
        parts = [
            f"{key} " + " / ".join(f"{value:.3f}" for value in entry[key])
            for key in ("rmse", "bias", "ccc")
            if key in entry
        ]
        if "wrong" in entry:
            parts.append(f"{100 * entry['wrong']:.1f} % wrong")
        parts.append(f"{100 * entry['missing']:.1f} % missing")
        errors = ", ".join(parts)
        lines.append(f"{name} annotator {index}: {errors} (n = {entry['n']:,})")
    return "\n".join(lines)


def _deviation(labels, truth):
    labels = np.where(np.isnan(truth), np.nan, labels.astype("float64"))
    truth = np.where(np.isnan(labels), np.nan, truth)
    bias = _nanmean(labels - truth, axis=0)
    mean_square = _nanmean((labels - truth) ** 2, axis=0)
    labels = labels - _nanmean(labels, axis=0)
    truth = truth - _nanmean(truth, axis=0)
    covariance = _nanmean(labels * truth, axis=0)
    spread = _nanmean(labels**2 + truth**2, axis=0)
    ccc = np.full_like(spread, np.nan)
    np.divide(2 * covariance, spread + bias**2, out=ccc, where=spread > 0)
    return {"rmse": np.sqrt(mean_square), "bias": bias, "ccc": ccc}


def _nanmean(values, axis):
    """`np.nanmean` in float64, without its warning where all are missing."""
    count = (~np.isnan(values)).sum(axis)
    total = np.nansum(values, axis, dtype="float64")
    return np.divide(total, count, out=total * np.nan, where=count > 0)


def _missing(labels):
    return labels == MISSING if labels.dtype == "int32" else np.isnan(labels)


def _generator(seed, purpose):
    if isinstance(seed, np.random.Generator):
        return seed
    valid = isinstance(seed, numbers.Integral) and seed >= 0
    _require(valid, "`seed` must be an int >= 0 or a np.random.Generator", seed)
    # The purpose keeps two functions with the same seed independent: else
    # `drop_labels` would drop the very labels that `flip_labels` flipped.
    return np.random.default_rng([int(seed), *purpose.encode()])


def _require(condition, expected, received):
    if not condition:
        raise ValueError(f"{expected}. Received: {received}")


def _check_rate(name, rate):
    _require(0 <= rate <= 1, f"`{name}` must lie in [0, 1]", rate)


def _check_mode(mode, pairs):
    modes = ("exclusive", "inclusive", "pairs")
    _require(mode in modes, f"`mode` must be one of {modes}", mode)
    if mode != "pairs":
        _require(pairs is None, "`pairs` is for mode='pairs' only", pairs)
        return
    pairs = () if pairs is None else pairs
    paired = [class_id for pair in pairs for class_id in pair]
    disjoint = len(set(paired)) == len(paired) > 0
    valid = disjoint and all(len(pair) == 2 for pair in pairs)
    expected = "`pairs` must be disjoint pairs of class ids for mode='pairs'"
    _require(valid, expected, pairs)


def _array(name, array, kind, *ranks):
    array = np.asarray(array)
    valid = np.issubdtype(array.dtype, kind) and array.ndim in ranks
    ranks = " or ".join(map(str, ranks))
    expected = f"`{name}` must be a {kind.__name__} array of rank {ranks}"
    received = f"{array.dtype} array of shape {array.shape}"
    _require(valid and array.size, f"{expected}, not empty", received)
    return array


def _class_ids(name, labels, num_classes, *ranks):
    valid = isinstance(num_classes, numbers.Integral) and num_classes >= 2
    _require(valid, "`num_classes` must be an int >= 2", num_classes)
    labels = _array(name, labels, np.integer, *(ranks or (1,)))
    outside = labels[(labels < MISSING) | (labels >= num_classes)]
    expected = f"`{name}` must be -1 or class ids in [0, {num_classes})"
    _require(not outside.size, expected, outside[:3])
    return labels.astype("int32")


def _either_kind(name, labels):
    if np.issubdtype(np.asarray(labels).dtype, np.floating):
        return _array(name, labels, np.floating, 2, 3).astype("float32")
    return _class_ids(name, labels, 2**31, 1, 2)


# The three label sets of the paper's CIFAR-10 experiment. Last in the file,
# since an annotator is checked when it is made.
PAPER_ANNOTATORS = tuple(
    CategoricalAnnotator(rate, "inclusive") for rate in (0.2, 0.3, 0.4)
)
