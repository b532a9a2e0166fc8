"""Figures of an experiment, from the files in its folder alone.

Each function returns a `matplotlib.figure.Figure`. In all of them `folder` is
that of the results, `setting` the name of one in `cells.csv`, `metric` as
`"object_accuracy"`, `task` the name of a categorical task, and `method`,
`methods` and `seed` those of finished cells; `ValueError` is raised where there
is none or a file is missing.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_noisyfer.arguments import AUTO, check_choice
from keras_noisyfer.comparison.methods import METHODS
from keras_noisyfer.comparison.reading import (
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

if TYPE_CHECKING:
    from keras_noisyfer.datasets.labelled_images import LabelledImages

# Colors and line styles, so that sixteen methods look different, and one
# that lies on another shows through.
_STYLES = [
    {"color": f"C{index % 8}", "linestyle": ("-", "--", ":")[index % 3]}
    for index in range(16)
]


def plot_accuracy_by_step(
    folder: PathLike,
    setting: str,
    metric: str | Sequence[str] = "object_accuracy",
    methods: Sequence[str] | None = None,
) -> Figure:
    """Test metrics and training losses of each method, by optimizer step.

    Fig. 3 of the paper. Plain training's loss falls to zero as it memorizes
    its labels. A method's loss, of the task of the first `metric`, is its own:
    the sum over the label streams that it trains on, so that those with one
    stream begin lower. Of methods that have them, the joint losses follow,
    from the end of the warm-up. Lines are means over the seeds, shades reach
    from the lowest to the highest seed. By default all methods are drawn.

    Example:

    >>> figure = plot_accuracy_by_step("runs/cifar10_small", "multi-label")
    >>> figure.savefig("figure3.png", dpi=120)
    """
    histories = read_histories(folder, setting)
    if methods is None:
        methods = histories["method"].unique()
    metrics = [metric] if isinstance(metric, str) else list(metric)
    methods = list(methods)
    for name, each in (("metric", metrics), ("methods", methods)):
        if not each:
            raise ValueError(f"`{name}` must not be empty. Received: {each}")
    for method in methods:
        check_choice("methods", method, histories["method"])
    histories = histories[histories["method"].isin(methods)]
    for each in metrics:
        _check_metric(each, histories)
    loss = _task_loss(metrics[0], histories)
    there = histories.dropna(axis="columns", how="all")
    joint = [key for key in JOINT_LOSSES if key in there]
    columns = [*(f"test_{each}" for each in metrics), loss, *joint]
    titles = [
        *(f"test {each.replace('_', ' ')}" for each in metrics),
        f"training {loss.replace('_', ' ')}",
        *(JOINT_LOSSES[key] for key in joint),
    ]
    across = 2 if len(columns) in (2, 4) else 3
    down = -(-len(columns) // across)
    figure = Figure(
        figsize=(4.5 * across + 2.5, 4 * down), layout="constrained"
    )
    panels = figure.subplots(down, across, squeeze=False).flat
    for panel in panels[len(columns) :]:
        panel.remove()
    panels = panels[: len(columns)]
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title)
    for index, method in enumerate(methods):
        history = histories[histories["method"] == method]
        style = _STYLES[index % len(_STYLES)]
        # The legend has each method once.
        labels = [_title(method)] + [None] * (len(columns) - 1)
        for panel, column, label in zip(panels, columns, labels, strict=True):
            _draw_line(panel, history, column, label=label, **style)
    # Zero, where memorizing ends, is in sight.
    losses = panels[len(metrics)]
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

    App. Fig. 5 and 6 of the paper, with `settings` a dict by lambda of the
    setting it was trained in. Drawn as by `plot_accuracy_by_step`; the joint
    losses begin where the warm-up ends.

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
        label = f"λ = {value if value == AUTO else f'{value:g}'}"
        column = f"test_{metric}"
        _draw_line(panels[0], history, column, label=label, color=color)
        for panel, key in zip(panels[1:], JOINT_LOSSES, strict=True):
            if key not in history:
                raise ValueError(
                    "`method` must be one with joint losses. "
                    f"Received: {method!r}"
                )
            _draw_line(panel, history, key, color=color)
    titles = [f"test {metric.replace('_', ' ')}", *JOINT_LOSSES.values()]
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title)
    _finish(figure)
    return figure


def plot_samples(
    folder: PathLike, setting: str, method: str = "proposed", seed: int = 0
) -> Figure:
    """Images that a cell's decoder made, one column a class: Fig. 4."""
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
) -> Figure:
    """Confusion matrices of several methods on the test images.

    App. Fig. 3 of the paper: one panel a method, in percent of each true
    class and with one scale of colors.
    """
    clean, predictions, class_names = read_class_predictions(
        folder, setting, methods, task, seed
    )
    known = clean >= 0
    # Wide enough for numbers of three digits.
    side = max(3, 1.2 + 0.42 * len(class_names))
    figure = Figure(
        figsize=(side * len(methods) + 0.3, side + 0.4), layout="constrained"
    )
    panels = figure.subplots(1, len(methods), squeeze=False, sharey=True)[0]
    for panel, method in zip(panels, methods, strict=True):
        predicted = predictions[method][known]
        image = draw_confusion_matrix(
            panel, clean[known], predicted, class_names
        )
        panel.set_title(_title(method))
    panels[0].set_ylabel("true")
    label = "percent of a true class"
    figure.colorbar(
        image, ax=panels, label=label, fraction=0.03, pad=0.01, aspect=30
    )
    return figure


def plot_examples(
    folder: PathLike,
    setting: str,
    methods: Sequence[str],
    task: str,
    test_data: LabelledImages,
    method: str = "proposed",
    seed: int = 0,
    count: int = 12,
) -> Figure:
    """Test images with each method's prediction, wrong ones in red.

    App. Fig. 4 of the paper. The first images of the test set are taken that
    `method` gets right where another of the `methods` is wrong, at most
    `count`, four a row; and, in the last column, the first ones that it gets
    wrong. `test_data` are the `LabelledImages` that were tested on.

    Example:

    >>> figure = plot_examples(
    ...     "runs/cifar10_small",
    ...     "multi-label",
    ...     ["vggnet", "co-teaching", "proposed"],
    ...     "object",
    ...     test_data=load_cifar10(None, "test"),
    ... )
    """
    if method not in methods or len(set(methods)) < 2:
        raise ValueError(
            f"`methods` must hold {method!r}, the `method`, and another one. "
            f"Received: {list(methods)}"
        )
    clean, predictions, names = read_class_predictions(
        folder, setting, methods, task, seed
    )
    _check_test_data(test_data, task, clean)
    wrong = {key: each != clean for key, each in predictions.items()}
    known = clean >= 0
    right = np.flatnonzero(
        known & ~wrong[method] & np.any(list(wrong.values()), axis=0)
    )[:count]
    rows = -(-count // 4)
    failures = np.flatnonzero(known & wrong[method])[:rows]
    images = _read_images(test_data, {*right, *failures})
    letters = _letters(methods)

    # In inches: an image and the lines below it; the key below all of them.
    below = 0.18 * (len(methods) + 1)
    figure = Figure(
        figsize=(7.4, rows * (1.35 + below) + below + 0.5),
        layout="constrained",
    )
    # The fifth of six columns is a gap.
    panels = figure.subplots(
        rows, 6, squeeze=False, width_ratios=[1, 1, 1, 1, 0.1, 1]
    )
    for panel in panels.flat:
        panel.axis("off")
    letter = letters[method]
    title = {"loc": "left", "fontsize": 10}
    panels[0, 0].set_title(f"{letter} right where another is wrong", **title)
    panels[0, 5].set_title(f"{letter} wrong", **title)
    shown = [*zip(panels[:, :4].flat, right, strict=False)]
    shown += zip(panels[:, 5], failures, strict=False)
    for panel, index in shown:
        panel.imshow(images[index], cmap="gray", vmin=0, vmax=1)
        lines = [(f"L: {names[clean[index]]}", "black")]
        for key in methods:
            text = f"{letters[key]}: {names[predictions[key][index]]}"
            lines.append((text, "red" if wrong[key][index] else "black"))
        for number, (text, color) in enumerate(lines):
            panel.annotate(
                text,
                (0, 0),
                (1, -2 - 12 * number),
                xycoords="axes fraction",
                textcoords="offset points",
                va="top",
                fontsize=9,
                color=color,
            )
    key = [f"{letters[each]}: {_title(each)}" for each in methods]
    figure.supxlabel("\n".join(["L: clean label", *key]), fontsize=9)
    return figure


def _title(method):
    return METHODS[method].title if method in METHODS else method


def _check_metric(metric, histories):
    known = [
        name.removeprefix("test_")
        for name in histories
        if name.startswith("test_")
    ]
    check_choice("metric", metric, known)


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
    history = history.dropna(subset=[column])
    if history.empty:
        return
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
        # More of so long numbers would touch.
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.grid(alpha=0.3)
    figure.legend(loc="outside right upper")


def _check_test_data(test_data, task, clean):
    labels = test_data.clean_labels().labels
    check_choice("task", task, labels)
    given = labels[task].reshape(-1)
    if not np.array_equal(given, clean):
        same = len(given) == len(clean)
        raise ValueError(
            "`test_data` must be the images that the experiment was tested "
            f"on, {len(clean)}. Received: {len(given)}"
            + (" with other labels" if same else "")
        )


def _read_images(data, indices):
    """Images in [0, 1] by their index."""
    # Faces in files have no size of their own.
    shape = data.images.image_shape or (64, 64, 3)
    images, start = {}, 0
    for batch, _ in data.batches(shape, 256):
        for index in indices:
            if start <= index < start + len(batch):
                image = (batch[index - start].numpy() + 1) / 2
                images[index] = image.squeeze()
        start += len(batch)
        if len(images) == len(indices):
            break
    return images


def _letters(methods):
    """A letter a method, of its name if possible; L is the label's."""
    letters = {}
    for method in methods:
        letters[method] = next(
            each
            for each in method.upper() + string.ascii_uppercase
            if each.isalpha() and each not in ("L", *letters.values())
        )
    return letters
