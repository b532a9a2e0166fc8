"""Folders, files and tables that the recipes write their results to."""

import json
import math
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_noisyfer.files import read_json, replacing
from keras_noisyfer.typing import PathLike

SETTINGS = "settings.json"


def prepare_output_dir(path: PathLike) -> pathlib.Path:
    """Creates a folder for results and proves that it can be written to.

    Meant to be called before any work whose results would be lost.

    Args:
        path: The folder; its parents are created too.

    Returns:
        The folder as a `pathlib.Path`.

    Raises:
        ValueError: if it cannot be created or written to.

    Example:

    >>> output_dir = prepare_output_dir("runs/cifar10")
    """
    try:
        os.makedirs(path, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(
            "`output_dir` must be a folder that can be written to. "
            f"Received: {path} ({error.strerror})"
        ) from error
    return pathlib.Path(path)


def write_json(path: PathLike, data: Any) -> None:
    """Writes a JSON file that is complete or not there at all.

    Args:
        path: The file; one that exists is replaced.
        data: Dicts with string keys, sequences, strings, numbers, booleans
            and None. NumPy's arrays and numbers count as Python's; NaN and
            infinities, which JSON does not have, become null.

    Raises:
        TypeError: if `data` holds something else.

    Example:

    >>> write_json("results.json", {"test_accuracy": np.float32(0.5)})
    """
    text = json.dumps(_plain(data), indent=2, allow_nan=False)
    with replacing(path) as unfinished:
        unfinished.write_text(text + "\n", "utf-8")


def keep_settings(folder: pathlib.Path, settings: Mapping[str, Any]) -> None:
    """Keeps results of different settings apart.

    Args:
        folder: `pathlib.Path` of results, where `settings.json` is written
            the first time.
        settings: Dict of dicts of settings, each by name.

    Raises:
        ValueError: if the folder holds results of other settings.
    """
    path = folder / SETTINGS
    # As they are read.
    settings = json.loads(json.dumps(settings))
    if not path.exists():
        write_json(path, settings)
    kept = read_json(path)
    if not isinstance(kept, dict) or not all(
        isinstance(kept.get(kind), dict) for kind in settings
    ):
        raise ValueError(
            f"{path} must hold the settings of {', '.join(settings)}"
        )
    for kind, values in settings.items():
        for name, value in values.items():
            if kept[kind].get(name) != value:
                raise ValueError(
                    f"The results in {folder} are of {name}="
                    f"{kept[kind].get(name)}; others need an output folder of "
                    f"their own. Received: {name}={value}"
                )


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Formats rows as a table of plain text, numbers to three digits.

    Args:
        rows: Non-empty sequence of dicts with the same keys, the headings.

    Returns:
        The table: a line of headings, a rule and a line a row.

    Example:

    >>> print(format_table([{"method": "proposed", "accuracy": 0.75}]))
    method    accuracy
    --------  --------
    proposed     0.750
    """
    headings = list(rows[0])
    cells = [[_format(row[name]) for name in headings] for row in rows]
    widths = [
        max(map(len, column)) for column in zip(headings, *cells, strict=True)
    ]
    is_text = [isinstance(rows[0][name], str) for name in headings]
    lines = [headings, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line, widths, is_text, strict=True)
        ).rstrip()
        for line in lines
    )


def summarise_runs(
    runs: Sequence[tuple[int, Any]], metrics: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Tables of several runs of the same methods.

    Args:
        runs: Sequence of `(seed, results)`: `results` is a list of dicts, one
            a method, with the key `method` and the metrics, None or NaN
            where there is none.
        metrics: Names of the metrics.

    Returns:
        Two lists of rows for `format_table`: one row a run and method, and
        one row a method with the mean and, of several runs, the standard
        deviation (of the sample) of each metric.

    Example:

    >>> run = [{"method": "proposed", "accuracy": 0.75}]
    >>> by_run, by_method = summarise_runs([(0, run)], ["accuracy"])
    """
    by_run = [
        {
            "seed": seed,
            "method": result["method"],
            **{
                name: float("nan" if result[name] is None else result[name])
                for name in metrics
            },
        }
        for seed, results in runs
        for result in results
    ]
    by_method = []
    for method in dict.fromkeys(row["method"] for row in by_run):
        row = {"method": method}
        for metric in metrics:
            values = [
                each[metric] for each in by_run if each["method"] == method
            ]
            row[metric] = f"{np.mean(values):.3f}"
            if len(values) > 1:
                row[metric] += f" ± {np.std(values, ddof=1):.3f}"
        by_method.append({**row, "runs": len(values)})
    return by_run, by_method


def _format(value):
    if isinstance(value, (float, np.floating)):
        # A probability that is not quite 0, and could have forty zeros.
        return "<0.001" if 0 < value < 0.0005 else f"{value:.3f}"
    return str(value)


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        # Numbers of Python's, in nested lists if it is an array.
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
