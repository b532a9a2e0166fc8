"""What a recipe leaves next to the numbers: a table and figures."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from keras_noisyfer.comparison import figures
from keras_noisyfer.comparison.annotator_models import plot_annotator_models
from keras_noisyfer.comparison.cell import Cell, slug
from keras_noisyfer.comparison.methods import METHODS
from keras_noisyfer.comparison.reading import (
    read_arrays,
    read_cells,
)
from keras_noisyfer.typing import PathLike

if TYPE_CHECKING:
    from keras_noisyfer.comparison.tables import Row
    from keras_noisyfer.datasets.labelled_images import LabelledImages

TITLES = {key: method.title for key, method in METHODS.items()}
# Whose predictions are shown side by side, as in App. Fig. 3 and 4.
SHOWN = ("vggnet", "co-teaching", "proposed")


def write_report(folder: PathLike, name: str, *parts: tuple[str, str]) -> None:
    """Prints a report and writes it to `<name>.md` in a folder.

    Args:
        folder: Folder of the comparison.
        name: Name of the file.
        *parts: Pairs of a title and a Markdown table.
    """
    report = "\n\n".join(f"{title}:\n\n{table}" for title, table in parts)
    print(f"\n{report}\n")
    path = pathlib.Path(folder, f"{name}.md")
    path.write_text(report + "\n", encoding="utf-8")


def write_curves(folder: PathLike, setting: str, metric: str) -> None:
    """Writes `accuracy_by_step_<setting>.png`: Fig. 3 of the paper."""
    methods = _finished(folder, setting)
    if methods:
        figure = figures.plot_accuracy_by_step(
            folder, setting, metric, methods, TITLES
        )
        _save(figure, folder, "accuracy_by_step", setting)


def write_predictions(
    folder: PathLike,
    setting: str,
    test: LabelledImages | None = None,
    seed: int = 0,
) -> None:
    """Writes what the methods make of the test images after the last epoch.

    `samples_<setting>.png` (Fig. 4 of the paper), and for each categorical
    task `confusion_matrices_<setting>_<task>.png` (App. Fig. 3) and
    `examples_<setting>_<task>.png` (App. Fig. 4). What has no finished cell
    is left out.

    Args:
        folder: Folder of the comparison.
        setting: A setting as it is written in `cells.csv`.
        test: `LabelledImages` that the comparison was tested on; without
            them there are no examples.
        seed: Seed of the cells.
    """
    methods = [m for m in SHOWN if m in _finished(folder, setting, seed)]
    if not methods:
        return
    if _has_file(folder, setting, "proposed", seed, "samples.npz"):
        figure = figures.plot_samples(folder, setting, seed=seed)
        _save(figure, folder, "samples", setting)
    arrays = read_arrays(folder, setting, methods[0], seed, "predictions.npz")
    for name, class_names in _class_names(arrays).items():
        if (arrays[f"{name}_clean"] < 0).all():
            continue
        arguments = (folder, setting, methods, name)
        figure = figures.plot_confusion_matrices(
            *arguments, seed, class_names, TITLES
        )
        _save(figure, folder, "confusion_matrices", setting, name)
        if test is not None and "proposed" in methods and len(methods) > 1:
            figure = figures.plot_examples(
                *arguments,
                test,
                seed=seed,
                # Faces in files have no size of their own.
                image_shape=test.images.image_shape or (64, 64, 3),
                titles=TITLES,
            )
            _save(figure, folder, "examples", setting, name)


def write_annotator_models(
    folder: PathLike, setting: str, methods: Iterable[str], seed: int = 0
) -> None:
    """Writes `annotators_<setting>_<task>_<method>.png`: each annotator's
    confusion matrix, as it was injected and as a method has learned it.

    Args:
        folder: Folder of the comparison.
        setting: A setting as it is written in `cells.csv`.
        methods: Keys of methods; those without a finished cell, or with one
            model for all annotators, are left out.
        seed: Seed of the cells.
    """
    for method in methods:
        file = "annotator_models.npz"
        if not _has_file(folder, setting, method, seed, file):
            continue
        arrays = read_arrays(folder, setting, method, seed, file)
        for name, class_names in _class_names(arrays).items():
            figure = plot_annotator_models(
                arrays[f"{name}_learned"],
                arrays[f"{name}_injected"],
                class_names,
            )
            _save(figure, folder, "annotators", setting, name, method)


def write_lambda_study(
    folder: PathLike, rows: Mapping[Any, Row], metric: str
) -> None:
    """Writes `lambda_<metric>.png`: App. Fig. 5 and 6 of the paper.

    Args:
        folder: Folder of the comparison.
        rows: Dict by lambda of `Row`s; those without a finished cell are
            left out.
        metric: `<task>_<metric>`.
    """
    settings = {
        value: row.cell.setting
        for value, row in rows.items()
        if row.cell.method in _finished(folder, row.cell.setting)
    }
    if settings:
        figure = figures.plot_lambda_study(folder, settings, metric)
        _save(figure, folder, "lambda", metric)


def _finished(folder, setting, seed=None):
    """Methods with finished cells, in the order of `METHODS`."""
    cells = read_cells(folder)
    cells = cells[cells["setting"] == setting]
    if seed is not None:
        cells = cells[cells["seed"] == seed]
    return [key for key in METHODS if key in set(cells["method"])]


def _class_names(arrays):
    """Dict by categorical task of its classes, in the files of a cell."""
    end = "_class_names"
    return {
        name.removesuffix(end): array.tolist()
        for name, array in arrays.items()
        if name.endswith(end)
    }


def _has_file(folder, setting, method, seed, name):
    """Whether a finished cell has left a file."""
    cell = Cell(setting, method, seed, case=None)
    return (
        method in _finished(folder, setting, seed)
        and pathlib.Path(folder, cell.folder, name).exists()
    )


def _save(figure, folder, *names):
    path = pathlib.Path(folder, "_".join(map(slug, names)) + ".png")
    figure.savefig(path, dpi=120)
