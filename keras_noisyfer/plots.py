"""Figures of a training run. Each function returns a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_noisyfer.arguments import check_choice
from keras_noisyfer.metrics.calibration import (
    expected_calibration_error,
    reliability,
)
from keras_noisyfer.noise import realised_confusion
from keras_noisyfer.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Logged by the joint-distribution GAN; 0 until the warm-up has ended.
JOINT_LOSSES = {
    "generator_joint_loss": "generator's joint loss",
    "discriminator_loss": "discriminator's loss",
}


def plain(text: object) -> str:
    """A name as matplotlib draws it and not as a formula."""
    return str(text).replace("$", r"\$")


def plot_training_curves(
    histories: Mapping[str, Mapping[str, Any]],
    metric: str,
    label: str | None = None,
) -> Figure:
    """Test metric, generator's and discriminator's joint loss by epoch.

    Args:
        histories: Dict by method name of `History.history` dicts.
        metric: Key of the test metric, such as
            `"val_expression_accuracy"`.
        label: The metric's name in the figure; by default its key.

    Returns:
        A `matplotlib.figure.Figure` with three panels; the joint losses are
        those of the methods that have them, from the end of the warm-up on.
        Where no method has them, there is one panel.
    """
    for history in histories.values():
        if not isinstance(history, Mapping):
            raise ValueError(
                "`histories` must be a dict by method of `History.history` "
                f"dicts. Received: {type(history).__name__} in it"
            )
    known = (key for history in histories.values() for key in history)
    check_choice("metric", metric, known)
    titles = [(metric, label or metric)]
    titles += [
        (key, title)
        for key, title in JOINT_LOSSES.items()
        if any(key in history for history in histories.values())
    ]
    figure = Figure(figsize=(13 / 3 * len(titles), 3.8), layout="constrained")
    panels = figure.subplots(1, len(titles), squeeze=False)[0]
    for panel, (key, title) in zip(panels, titles, strict=True):
        for index, (name, history) in enumerate(histories.items()):
            if key in history:
                values = np.array(history[key], "float64")
                epochs = np.arange(1, len(values) + 1)
                if key != metric:
                    # Before the adversarial game begins there is no loss.
                    started = np.array(history["discriminator_loss"]) != 0
                    values, epochs = values[started], epochs[started]
                # A line of one point cannot be seen.
                marker = "." if len(values) == 1 else None
                style = {"color": f"C{index}", "marker": marker}
                panel.plot(epochs, values, label=name, **style)
        panel.set(xlabel="epoch", title=title)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
    panels[0].legend()
    return figure


def plot_confusion_matrix(
    labels: ArrayLike,
    predictions: ArrayLike,
    class_names: Sequence[str] | range,
) -> Figure:
    """Confusion matrix in percent of each true class.

    Args:
        labels: True class ids, shape `(n,)`.
        predictions: Predicted class ids, shape `(n,)`.
        class_names: Names of the classes.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    panel = figure.subplots()
    draw_confusion_matrix(panel, labels, predictions, class_names)
    panel.set(ylabel="true", title="percent of a class")
    return figure


def draw_matrix(
    panel: Axes, matrix: np.ndarray, class_names: Sequence[str] | range
) -> Any:
    """Draws a matrix of percentages with a row and a column a class.

    Args:
        panel: The `matplotlib.axes.Axes` to draw it in.
        matrix: Shape `(num_classes, num_classes)`, from 0 to 100.
        class_names: Names of the classes.

    Returns:
        The image in the panel, for a color bar.
    """
    count = len(class_names)
    image = panel.imshow(matrix, cmap="Blues", vmin=0, vmax=100)
    for row in range(count):
        for column in range(count):
            value = matrix[row, column]
            panel.text(
                column,
                row,
                f"{value:.0f}",
                ha="center",
                va="center",
                color="white" if value > 60 else "black",
            )
    names = [plain(name) for name in class_names]
    panel.set_xticks(range(count), names, rotation=45, ha="right")
    panel.set_yticks(range(count), names)
    return image


def draw_confusion_matrix(
    panel: Axes,
    labels: ArrayLike,
    predictions: ArrayLike,
    class_names: Sequence[str] | range,
) -> Any:
    """Draws a confusion matrix in percent of each true class.

    Args:
        panel: The `matplotlib.axes.Axes` to draw it in.
        labels: True class ids, shape `(n,)`.
        predictions: Predicted class ids, shape `(n,)`.
        class_names: Names of the classes.

    Returns:
        The image in the panel, for a color bar; its colors are those of 0
        to 100 percent.
    """
    (matrix,) = realised_confusion(predictions, labels, len(class_names))
    # Classes without images are empty rows.
    image = draw_matrix(panel, 100 * np.nan_to_num(matrix), class_names)
    panel.set_xlabel("predicted")
    return image


def plot_reliability(labels: ArrayLike, probabilities: ArrayLike) -> Figure:
    """Reliability plot: how often predictions of a confidence are right.

    Args:
        labels: True class ids, -1 where missing, shape `(n,)`.
        probabilities: Shape `(n, num_classes)`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    confidence, accuracy, count = reliability(labels, probabilities)
    error = expected_calibration_error(labels, probabilities)
    figure = Figure(figsize=(5, 5), layout="constrained")
    panel = figure.subplots()
    panel.plot((0, 1), (0, 1), color="0.6", linestyle="--")
    known = count > 0
    panel.plot(confidence[known], accuracy[known], marker="o")
    for x, y, n in zip(
        confidence[known], accuracy[known], count[known], strict=True
    ):
        panel.annotate(f"{n}", (x, y), (4, -10), textcoords="offset points")
    panel.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="confidence",
        ylabel="accuracy",
        title=f"expected calibration error {error:.3f}",
    )
    return figure


def plot_image_grid(images: np.ndarray, column_titles: Sequence[str]) -> Figure:
    """Images in a grid, one titled column a class.

    Args:
        images: Array in [-1, 1] of shape
            `(rows, columns, height, width, channels)`.
        column_titles: One title a column, of one line or several.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    rows, columns = images.shape[:2]
    title = 0.1 + 0.2 * (1 + max(each.count("\n") for each in column_titles))
    height = 1.3 * rows + title
    figure = Figure(figsize=(1.3 * columns, height))
    panels = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            "left": 0,
            "right": 1,
            "bottom": 0,
            "top": 1 - title / height,
            "wspace": 0.05,
            "hspace": 0.05,
        },
    )
    for row in range(rows):
        for column in range(columns):
            panel = panels[row, column]
            image = np.clip((images[row, column] + 1) / 2, 0, 1)
            panel.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
            panel.axis("off")
            if row == 0:
                panel.set_title(column_titles[column], fontsize=10)
    return figure


def plot_annotator_models(
    learned: np.ndarray, injected: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """Each annotator's injected and learned confusion matrix, in percent.

    Args:
        learned: Array of shape `(annotators, num_classes, num_classes)`, of
            `annotator_models`.
        injected: The same of `noise.realised_confusion`.
        class_names: Names of the classes.

    Returns:
        A `matplotlib.figure.Figure`, one column an annotator, above the
        injected matrix and below the learned one. The title tells the mean
        absolute difference of their entries.

    Raises:
        ValueError: if the shapes differ or do not fit the names.

    Example:

    >>> figure = plot_annotator_models(learned, injected, EXPRESSIONS)
    >>> figure.savefig("annotators.png")
    """
    learned, injected = np.asarray(learned), np.asarray(injected)
    count = len(class_names)
    if learned.ndim != 3 or learned.shape[1:] != (count, count):
        raise ValueError(
            "`learned` must have shape (annotators, num_classes, "
            f"num_classes) with {count} classes. "
            f"Received: shape={learned.shape}"
        )
    if injected.shape != learned.shape:
        raise ValueError(
            f"`injected` must have the shape of `learned`, {learned.shape}. "
            f"Received: shape={injected.shape}"
        )
    annotators = len(learned)
    size = 0.8 + 0.35 * count
    figure = Figure(
        figsize=(size * annotators + 0.8, 2 * size + 1.4),
        layout="constrained",
    )
    difference = 100 * np.nanmean(np.abs(learned - injected))
    figure.suptitle(
        f"percent of a class\nmean absolute difference {difference:.1f}"
    )
    panels = figure.subplots(
        2, annotators, sharex=True, sharey=True, squeeze=False
    )
    for row, kind, matrices in zip(
        panels, ("injected", "learned"), (injected, learned), strict=True
    ):
        for index, panel in enumerate(row):
            draw_matrix(panel, 100 * matrices[index], class_names)
            panel.set(title=f"annotator {index}", xlabel=None, ylabel=None)
            panel.label_outer()
        row[0].set_ylabel(f"{kind}: true class")
    return figure
