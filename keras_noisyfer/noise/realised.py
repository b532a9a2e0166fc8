"""How far labels are from the truth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_noisyfer.noise.checks import (
    MISSING,
    check_class_ids,
    check_labels,
    is_missing,
    nanmean,
    require,
)
from keras_noisyfer.typing import ArrayLike


def realised_noise(labels: ArrayLike, truth: ArrayLike) -> list[dict[str, Any]]:
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
    labels, truth = check_labels("labels", labels), check_labels("truth", truth)
    received = f"{labels.dtype} {labels.shape}, {truth.dtype} {truth.shape}"
    expected = "`labels` must match `truth` in kind, length and dimensions"
    rank = 1 if truth.dtype == "int32" else 2
    if labels.ndim == rank:
        labels = labels[:, None]
    shape = labels.shape[:1] + labels.shape[2:]
    matches = shape == truth.shape and labels.ndim == rank + 1
    require(matches and labels.dtype == truth.dtype, expected, received)
    missing, truth = is_missing(labels), truth[:, None]
    measures: dict[str, Any]
    if labels.dtype == "int32":
        known = ~(missing | is_missing(truth))
        wrong = np.where(known, labels != truth, np.nan)
        measures = {"missing": missing, "wrong": nanmean(wrong, axis=0)}
    else:
        measures = {"missing": missing.any(-1), **_deviation(labels, truth)}
    measures["missing"] = measures["missing"].mean(axis=0)
    return [
        {"n": len(truth), **{key: m[i].tolist() for key, m in measures.items()}}
        for i in range(labels.shape[1])
    ]


def realised_confusion(
    labels: ArrayLike, truth: ArrayLike, num_classes: int
) -> np.ndarray:
    """The confusion matrix of each annotator.

    Args:
        labels: Class ids of shape `(n, annotators)` or `(n,)`, -1 where
            missing.
        truth: True class ids of shape `(n,)`.
        num_classes: Number of classes.

    Returns:
        An array of shape `(annotators, num_classes, num_classes)`: row i
        holds the shares of the labels that images of class i were given; NaN
        where there is no such label.

    Raises:
        ValueError: if the labels are not class ids, or lengths differ.

    Example:

    >>> realised_confusion([[0], [1], [0], [0]], [0, 0, 1, 1], 2)
    array([[[0.5, 0.5],
            [1. , 0. ]]])
    """
    truth = check_class_ids("truth", truth, num_classes, 1)
    labels = check_class_ids("labels", labels, num_classes, 1, 2)
    labels = labels.reshape(len(labels), -1)
    require(
        len(labels) == len(truth),
        f"`labels` must have one row a true class, {len(truth)}",
        len(labels),
    )
    matrices = []
    for stream in labels.T:
        known = (stream != MISSING) & (truth != MISSING)
        counts = np.zeros((num_classes, num_classes))
        np.add.at(counts, (truth[known], stream[known]), 1)
        totals = counts.sum(axis=1, keepdims=True)
        shares = np.full_like(counts, np.nan)
        matrices.append(np.divide(counts, totals, shares, where=totals > 0))
    return np.array(matrices)


def format_realised_noise(
    name: str, report: Sequence[Mapping[str, Any]]
) -> str:
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
    bias = nanmean(labels - truth, axis=0)
    mean_square = nanmean((labels - truth) ** 2, axis=0)
    labels = labels - nanmean(labels, axis=0)
    truth = truth - nanmean(truth, axis=0)
    covariance = nanmean(labels * truth, axis=0)
    spread = nanmean(labels**2 + truth**2, axis=0)
    ccc = np.full_like(spread, np.nan)
    np.divide(2 * covariance, spread + bias**2, out=ccc, where=spread > 0)
    return {"rmse": np.sqrt(mean_square), "bias": bias, "ccc": ccc}
