"""Reads what the finished cells of an experiment have left in its folder.

In all functions `folder` is that of the results, `setting` the name of one in
`cells.csv`, and `ValueError` is raised where files are missing or not as they
were written, or there is no such setting, method or seed.
"""

import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import check_choice, one_line
from keras_noisyfer.comparison.experiment import Cell
from keras_noisyfer.files import open_rows, read_npz
from keras_noisyfer.plots import JOINT_LOSSES
from keras_noisyfer.typing import PathLike

# 100,000 images that were drawn take 300 MB.
MAX_BYTES = 2**30
CELL_COLUMNS = {"setting": str, "method": str, "seed": int}


def read_cells(folder: PathLike, **columns: type) -> pd.DataFrame:
    """The lines of `cells.csv`: one a finished cell and metric.

    Args:
        folder: Folder of the results.
        **columns: Further columns that it must have, with their types.
    """
    path = pathlib.Path(folder, "cells.csv")
    if not path.is_file():
        raise ValueError(
            "`folder` must hold the cells.csv of an experiment with finished "
            f"cells. Received: {folder}"
        )
    table = _read_table(path, CELL_COLUMNS | columns)
    keys = [each for each in (*CELL_COLUMNS, "metric") if each in table]
    repeated = table.duplicated(keys)
    if "metric" in keys and repeated.any():
        raise ValueError(
            f"{path} must have a line a cell and metric. Received: two of "
            f"{one_line(', '.join(map(str, table[repeated][keys].iloc[0])))}"
        )
    return table


def read_histories(
    folder: PathLike, setting: str, method: str | None = None
) -> pd.DataFrame:
    """The epochs of a setting's finished cells, of one method or of all.

    Returns:
        A `pandas.DataFrame` with one row an epoch of a cell, in the order of
        `cells.csv`: its columns are `method`, `seed` and those of
        `history.csv`. The joint losses are NaN where there is none: during
        the warm-up, and of other methods.

    Example:

    >>> histories = read_histories("runs/cifar10", "multi-label", "proposed")
    >>> histories.groupby("seed")["test_object_accuracy"].max()
    """
    histories = []
    for cell in _select(folder, setting, method).itertuples():
        path = _path(folder, setting, cell.method, cell.seed, "history.csv")
        history = _read_table(path)
        history.insert(0, "method", cell.method)
        history.insert(1, "seed", cell.seed)
        histories.append(history)
    histories = pd.concat(histories, ignore_index=True)
    if set(JOINT_LOSSES) <= set(histories):
        started = histories["discriminator_loss"].fillna(0) != 0
        for key in JOINT_LOSSES:
            histories[key] = histories[key].where(started)
    return histories


def read_arrays(
    folder: PathLike, setting: str, method: str, seed: int, name: str
) -> dict[str, np.ndarray]:
    """The arrays of one of a cell's files, such as `"samples.npz"`."""
    _select(folder, setting, method, seed)
    path = _path(folder, setting, method, seed, name)
    return read_npz(path, MAX_BYTES)


def read_class_predictions(
    folder: PathLike, setting: str, methods: Iterable[str], task: str, seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """The class ids that methods predicted for the test images.

    Returns:
        The clean class ids, shape `(n,)`, -1 where missing; a dict by method
        of the predicted ones, of the same shape; and the classes' names.
    """
    clean: Any = None
    predictions = {}
    for method in methods:
        arrays = read_arrays(folder, setting, method, seed, "predictions.npz")
        check_choice("task", task, categorical_tasks(arrays))
        clean = arrays[f"{task}_clean"].reshape(-1).astype(int)
        predictions[method] = arrays[task].astype(int)
    count = 1 + max(each.max() for each in (clean, *predictions.values()))
    names = arrays.get(f"{task}_class_names", np.arange(count))
    if len(names) < count:
        raise ValueError(
            f"{folder} must name {count} classes of {task}. "
            f"Received: {len(names)}"
        )
    return clean, predictions, names.tolist()


def categorical_tasks(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the tasks with class ids in a `predictions.npz`."""
    return [
        name.removesuffix("_clean")
        for name, each in arrays.items()
        if name.endswith("_clean") and each.dtype.kind in "iu"
    ]


def _read_table(path, columns=None):
    columns = columns or {}
    try:
        with open_rows(path) as file:
            table = pd.read_csv(file, dtype=columns)
        missing = [each for each in columns if each not in table]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
    # The latter by numbers of too many digits.
    except (OSError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{path} must be a CSV file of results. Received: {one_line(error)}"
        ) from error
    return table


def _select(folder, setting, method=None, seed=None):
    cells = read_cells(folder).drop_duplicates(list(CELL_COLUMNS))
    wanted = {"setting": setting, "method": method, "seed": seed}
    for name, value in wanted.items():
        if value is not None:
            check_choice(name, value, cells[name])
            cells = cells[cells[name] == value]
    return cells


def _path(folder, setting, method, seed, name):
    cell = Cell(setting=setting, method=method, seed=seed, data="")
    path = pathlib.Path(folder, cell.folder, name)
    # The method is what the table says.
    root = os.path.join(os.path.realpath(folder), "")
    if not os.path.realpath(path).startswith(root):
        raise ValueError(
            f"{folder} must hold its cells itself. Received: {one_line(path)}"
        )
    if not path.is_file():
        there = sorted(p.name for p in path.parent.glob("*")) or ["nothing"]
        raise ValueError(
            f"{path.parent} must hold {name}. Received: {', '.join(there)}"
        )
    return path
