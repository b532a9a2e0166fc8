"""Test images of a comparison with what its methods said of them."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from keras_noisyfer.comparison.reading import (
    check_among,
    read_class_predictions,
)
from keras_noisyfer.typing import PathLike, Shape

if TYPE_CHECKING:
    from keras_noisyfer.datasets.labelled_images import LabelledImages


def plot_examples(
    folder: PathLike,
    setting: str,
    methods: Sequence[str],
    task: str,
    test_data: LabelledImages,
    method: str = "proposed",
    seed: int = 0,
    count: int = 12,
    image_shape: Shape | None = None,
    titles: Mapping[str, str] | None = None,
) -> Figure:
    """Test images with each method's prediction, wrong ones in red.

    App. Fig. 4 of the paper. The first images of the test set are taken
    that `method` gets right where another one is wrong; and, in the last
    column, the first ones that it gets wrong.

    Args:
        folder: Folder of the comparison.
        setting: A setting as it is written in `cells.csv`.
        methods: Keys of methods, `method` among them.
        task: Name of a categorical task.
        test_data: `LabelledImages` that the comparison was tested on.
        method: Key of the method whose images are shown.
        seed: Seed of the cells.
        count: Number of images that `method` gets right, four a row; with
            each row goes one that it gets wrong.
        image_shape: See `LabelledImages.batches`.
        titles: Optional dict of the methods' names by key.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there is no such cell or task, `methods` does not hold
            `method` and another one, or `test_data` is not what the
            comparison was tested on.

    Example:

    >>> figure = plot_examples(
    ...     "runs/table1",
    ...     "multi-label",
    ...     ["vggnet", "co-teaching", "proposed"],
    ...     "object",
    ...     test_data=load_cifar10("test"),
    ... )
    """
    if method not in methods or len(set(methods)) < 2:
        raise ValueError(
            f"`methods` must hold {method!r}, the `method`, and another one. "
            f"Received: {list(methods)}"
        )
    clean, predictions = read_class_predictions(
        folder, setting, methods, task, seed
    )
    names = _class_names(test_data, task, clean)
    wrong = {key: each != clean for key, each in predictions.items()}
    known = clean >= 0
    right = np.flatnonzero(
        known & ~wrong[method] & np.any(list(wrong.values()), axis=0)
    )[:count]
    rows = -(-count // 4)
    failures = np.flatnonzero(known & wrong[method])[:rows]
    images = _read_images(test_data, sorted({*right, *failures}), image_shape)
    letters = _letters(methods)

    # In inches: an image, a line of text, what is below an image, and the
    # key below all of them.
    side, line = 1.35, 0.17
    below = line * (len(methods) + 1) + 0.12
    foot = 0.155 * (len(methods) + 1) + 0.06
    head = 0.3
    height = head + rows * (side + below) + foot
    figure = Figure(figsize=(5 * side + 0.6, height))
    panels = figure.subplots(
        rows,
        # The fifth of six columns is a gap.
        6,
        squeeze=False,
        gridspec_kw={
            "width_ratios": [1, 1, 1, 1, 0.1, 1],
            "left": 0.01,
            "right": 0.99,
            "bottom": (foot + below) / height,
            "top": 1 - head / height,
            "wspace": 0.06,
            "hspace": below / side,
        },
    )
    for panel in panels.flat:
        panel.axis("off")
    for panel, verdict in (
        (panels[0, 0], "right where another is wrong"),
        (panels[0, 5], "wrong"),
    ):
        panel.set_title(f"{letters[method]} {verdict}", loc="left", fontsize=10)
    shown = [*zip(panels[:, :4].flat, right, strict=False)]
    shown += zip(panels[:, 5], failures, strict=False)
    for panel, index in shown:
        panel.imshow(images[index], cmap="gray", vmin=0, vmax=1)
        lines = [(f"L: {names[clean[index]]}", "black")]
        lines += [
            (
                f"{letters[key]}: {names[predictions[key][index]]}",
                "red" if wrong[key][index] else "black",
            )
            for key in methods
        ]
        for number, (text, color) in enumerate(lines):
            panel.annotate(
                text,
                (0, 0),
                (1, -2 - 72 * line * number),
                xycoords="axes fraction",
                textcoords="offset points",
                va="top",
                fontsize=9,
                color=color,
            )
    if not len(right):
        panels[0, 0].text(0.05, 0.5, "none", fontsize=10)
    key = ["L: clean label"]
    key += [f"{letters[k]}: {(titles or {}).get(k, k)}" for k in methods]
    figure.text(0.01, 0.06 / height, "\n".join(key), fontsize=9, va="bottom")
    return figure


def _class_names(test_data, task, clean):
    labels = test_data.clean_labels().labels
    check_among("task", task, labels)
    given = labels[task].reshape(-1)
    if not np.array_equal(given, clean):
        same = len(given) == len(clean)
        raise ValueError(
            "`test_data` must be the images that the comparison was tested "
            f"on, {len(clean)}. Received: {len(given)}"
            + (" with other labels" if same else "")
        )
    (found,) = [each for each in test_data.tasks if each.name == task]
    return found.class_names or range(found.num_classes)


def _read_images(data, indices, image_shape):
    """Images in [0, 1] by their index."""
    images, start = {}, 0
    for batch, _ in data.batches(image_shape, 256):
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
