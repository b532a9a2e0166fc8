"""Figures of a comparison, from the files in its folder alone.

Each function returns a `matplotlib.figure.Figure`. A comparison may still be
running: what is drawn are the cells that have finished.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from keras_noisyfer.arguments import AUTO
from keras_noisyfer.comparison.examples import plot_examples
from keras_noisyfer.comparison.reading import (
    check_among,
    read_arrays,
    read_class_predictions,
    read_histories,
)
from keras_noisyfer.plots import (
    JOINT_LOSSES,
    draw_confusion_matrix,
    plot_image_grid,
)
from keras_noisyfer.typing import PathLike

__all__ = [
    "plot_accuracy_by_step",
    "plot_confusion_matrices",
    "plot_examples",
    "plot_lambda_study",
    "plot_samples",
]

# Colours and line styles, so that sixteen methods look different, and one
# that lies on another shows through.
_STYLES = [
    {"color": f"C{index % 8}", "linestyle": ("-", "--", ":")[index % 3]}
    for index in range(16)
]


def plot_accuracy_by_step(
    folder: PathLike,
    setting: str,
    metric: str = "object_accuracy",
    methods: Sequence[str] | None = None,
    titles: Mapping[str, str] | None = None,
) -> Figure:
    """Test metric and training loss of each method, by optimizer step.

    Fig. 3 of the paper. Plain training's loss falls to zero as it memorises
    its labels. A method's loss is its own: the sum over the label streams
    that it trains on, so that those with one stream begin lower.

    Args:
        folder: Folder of the comparison.
        setting: A setting as it is written in `cells.csv`.
        metric: `<task>_<metric>`, such as `"object_accuracy"`.
        methods: Keys of methods; by default all that have finished.
        titles: Optional dict of the methods' names by key.

    Returns:
        A `matplotlib.figure.Figure` with two panels; lines are means over
        the seeds, shades reach from the lowest to the highest seed.

    Raises:
        ValueError: if files are missing, or there is no such setting, metric
            or method.

    Example:

    >>> figure = plot_accuracy_by_step("runs/table1", "multi-label")
    >>> figure.savefig("figure3.png", dpi=120)
    """
    histories = read_histories(folder, setting)
    if methods is None:
        methods = histories["method"].unique()
    for method in methods:
        check_among("methods", method, histories["method"])
    histories = histories[histories["method"].isin(methods)]
    _check_metric(metric, histories)
    loss = _task_loss(metric, histories)

    figure = Figure(figsize=(11.5, 4), layout="constrained")
    accuracy, losses = figure.subplots(1, 2)
    for index, method in enumerate(methods):
        history = histories[histories["method"] == method]
        style = _STYLES[index % len(_STYLES)]
        _draw_line(
            accuracy,
            history,
            f"test_{metric}",
            label=(titles or {}).get(method, method),
            **style,
        )
        _draw_line(losses, history, loss, **style)
    accuracy.set(title=f"test {metric.replace('_', ' ')}")
    losses.set(title=f"training {loss.replace('_', ' ')}")
    # Zero, where memorising ends, is in sight.
    losses.set_ylim(bottom=min(0, losses.get_ylim()[0]))
    _finish(figure)
    return figure


def plot_lambda_study(
    folder: PathLike,
    settings: Mapping[Any, str],
    metric: str = "object_accuracy",
    method: str = "proposed",
) -> Figure:
    """Test metric and joint losses by optimizer step, one line a lambda.

    App. Fig. 5 and 6 of the paper.

    Args:
        folder: Folder of the comparison.
        settings: Dict by lambda of the setting it was trained in, as it is
            written in `cells.csv`.
        metric: `<task>_<metric>`, such as `"object_accuracy"`.
        method: Key of the method.

    Returns:
        A `matplotlib.figure.Figure` with three panels, drawn as
        `plot_accuracy_by_step` does; the joint losses begin where the
        warm-up ends.

    Raises:
        ValueError: if files are missing, or there is no such setting, metric
            or method.

    Example:

    >>> settings = {0.2: "lambda 0.2", 0.4: "multi-label"}
    >>> plot_lambda_study("runs/cifar10_small", settings)
    """
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    panels = figure.subplots(1, 3, sharex=True)
    shades = colormaps["viridis"](np.linspace(0, 0.9, len(settings)))
    ordered = sorted(
        settings.items(), key=lambda item: (item[0] == AUTO, item[0])
    )
    for color, (value, setting) in zip(shades, ordered, strict=True):
        history = read_histories(folder, setting, method)
        _check_metric(metric, history)
        _draw_line(
            panels[0],
            history,
            f"test_{metric}",
            label=f"λ = {value if value == AUTO else f'{value:g}'}",
            color=color,
        )
        for panel, key in zip(panels[1:], JOINT_LOSSES, strict=True):
            if key not in history:
                raise ValueError(
                    "`method` must be one with joint losses. "
                    f"Received: {method!r}"
                )
            _draw_line(panel, history.dropna(subset=[key]), key, color=color)
    titles = [f"test {metric.replace('_', ' ')}", *JOINT_LOSSES.values()]
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title)
    _finish(figure)
    return figure


def plot_samples(
    folder: PathLike, setting: str, method: str = "proposed", seed: int = 0
) -> Figure:
    """Images that a cell's decoder made, one column a class.

    Fig. 4 of the paper.

    Args:
        folder: Folder of the comparison.
        setting: A setting as it is written in `cells.csv`.
        method: Key of a method with a decoder.
        seed: Seed of the cell.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there is no such cell, or it has no `samples.npz`.

    Example:

    >>> figure = plot_samples("runs/table1", "multi-label")
    """
    samples = read_arrays(folder, setting, method, seed, "samples.npz")
    return plot_image_grid(
        samples["images"] / 127.5 - 1, samples["class_names"].tolist()
    )


def plot_confusion_matrices(
    folder: PathLike,
    setting: str,
    methods: Sequence[str],
    task: str,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
    titles: Mapping[str, str] | None = None,
) -> Figure:
    """Confusion matrices of several methods on the test images.

    App. Fig. 3 of the paper.

    Args:
        folder: Folder of the comparison.
        setting: A setting as it is written in `cells.csv`.
        methods: Keys of methods, one a panel.
        task: Name of a categorical task.
        seed: Seed of the cells.
        class_names: Names of the classes; by default their ids, up to the
            largest there is.
        titles: Optional dict of the methods' names by key.

    Returns:
        A `matplotlib.figure.Figure` with one panel a method, in percent of
        each true class and with one scale of colours.

    Raises:
        ValueError: if there is no such cell or task.

    Example:

    >>> figure = plot_confusion_matrices(
    ...     "runs/table1", "multi-label", ["vggnet", "proposed"], "object"
    ... )
    """
    clean, predictions = read_class_predictions(
        folder, setting, methods, task, seed
    )
    largest = max(map(np.max, [clean, *predictions.values()]))
    if class_names is None:
        class_names = range(largest + 1)
    elif len(class_names) <= largest:
        raise ValueError(
            f"`class_names` must have at least {largest + 1} names. "
            f"Received: {len(class_names)}"
        )
    known = clean >= 0
    # Wide enough for numbers of three digits.
    side = max(3, 1.2 + 0.42 * len(class_names))
    figure = Figure(
        figsize=(side * len(methods) + 0.3, side + 0.4), layout="constrained"
    )
    panels = figure.subplots(1, len(methods), squeeze=False, sharey=True)[0]
    for panel, (method, predicted) in zip(
        panels, predictions.items(), strict=True
    ):
        image = draw_confusion_matrix(
            panel, clean[known], predicted[known], class_names
        )
        panel.set_title((titles or {}).get(method, method))
    panels[0].set_ylabel("true")
    figure.colorbar(
        image,
        ax=panels,
        label="percent of a true class",
        fraction=0.03,
        pad=0.01,
        aspect=30,
    )
    return figure


def _check_metric(metric, histories):
    known = [
        name.removeprefix("test_")
        for name in histories
        if name.startswith("test_")
    ]
    check_among("metric", metric, known)


def _task_loss(metric, histories):
    """The column of the loss of a metric's task."""
    losses = [
        name
        for name in histories
        if name.endswith("_loss")
        and metric.startswith(name.removesuffix("loss"))
    ]
    # The name of a task may begin with that of another.
    return max(losses, key=len)


def _draw_line(panel, history, column, **style):
    by_step = history.groupby("step")[column].agg(["mean", "min", "max"])
    panel.plot(by_step.index, by_step["mean"], **style)
    if history["seed"].nunique() > 1:
        panel.fill_between(
            by_step.index,
            by_step["min"],
            by_step["max"],
            color=style["color"],
            alpha=0.2,
            linewidth=0,
        )


def _finish(figure):
    for panel in figure.axes:
        panel.set_xlabel("optimizer steps")
        panel.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
