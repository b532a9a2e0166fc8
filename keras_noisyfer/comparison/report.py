"""What came out of a comparison, as Markdown."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from keras_noisyfer.comparison.methods import METHODS
from keras_noisyfer.comparison.reading import (
    CELL_COLUMNS,
    read_table,
)
from keras_noisyfer.comparison.runner import CELLS, COLUMNS
from keras_noisyfer.typing import PathLike

if TYPE_CHECKING:
    from keras_noisyfer.comparison.tables import Row

# Which of a cell's epochs a number is of.
EPOCHS = {
    "last": "last epoch",
    "chosen": "chosen on noisy validation labels",
    "best": "best test epoch (not fair)",
}


def metric_title(metric: str) -> str:
    """What a table says it shows, such as `"object accuracy"`."""
    title = f"{metric.replace('_', ' ')} on clean test images"
    return f"{title}, percent" if is_accuracy(metric) else title


def summarise(folder: PathLike, rows: Iterable[Row]) -> pd.DataFrame:
    """The numbers of a table's rows, over the seeds that are finished.

    Args:
        folder: Folder of the comparison.
        rows: List of `Row`s.

    Returns:
        A `pandas.DataFrame` with a line a row, metric and kind of epoch:
        `setting`, `method`, `metric`, `epoch` (a key of `EPOCHS`), `mean`,
        `deviation` (of the sample; NaN for one seed), `seeds` and `paper`.
        It is in the order of `rows`, without those that have no finished
        cell.

    Raises:
        ValueError: if no cell of these rows is finished.
    """
    wanted = pd.DataFrame(
        [(row.cell.setting, row.cell.method, row.paper) for row in rows],
        columns=["setting", "method", "paper"],
    )
    path = pathlib.Path(folder) / CELLS
    cells = pd.DataFrame(columns=COLUMNS)
    if path.exists():
        metrics = {"metric": str, **dict.fromkeys(EPOCHS, float)}
        cells = read_table(path, CELL_COLUMNS | metrics)
    cells = wanted.merge(cells, on=["setting", "method"])
    if cells.empty:
        raise ValueError(
            "`folder` must hold at least one finished cell of the table. "
            f"Received: {folder}"
        )
    cells["paper"] = [
        paper.get(metric)
        for paper, metric in zip(cells["paper"], cells["metric"], strict=True)
    ]
    keys = ["setting", "method", "metric", "epoch"]
    numbers = cells.melt([*keys[:3], "paper"], list(EPOCHS), "epoch")
    return (
        numbers.groupby(keys, sort=False)
        .agg(
            mean=("value", "mean"),
            deviation=("value", "std"),
            seeds=("value", "count"),
            paper=("paper", "first"),
        )
        .reset_index()
    )


def methods_table(summary: pd.DataFrame, metric: str) -> str:
    """A Markdown table with a line a method, as the paper's Table 1.

    Args:
        summary: What `summarise` returned, of one setting.
        metric: Its metric, such as `"object_accuracy"`.

    Returns:
        The table: mean ± standard deviation of each kind of epoch.
    """
    chosen = summary[summary["metric"] == metric]
    in_paper = bool(chosen["paper"].notna().any())
    lines = [["method", *EPOCHS.values(), "seeds"]]
    lines[0] += ["paper, full size"] * in_paper
    for method, group in chosen.groupby("method", sort=False):
        line = [METHODS[method].title, *_numbers(group, metric)]
        line += [_value(group["paper"].iloc[0], metric)] * in_paper
        lines.append(line)
    return _markdown(lines)


def lambda_table(
    summary: pd.DataFrame, rows: Mapping[Any, Row], metric: str
) -> str:
    """A Markdown table with a line a lambda.

    Args:
        summary: What `summarise` returned.
        rows: What `tables.lambda_study` returned.
        metric: Its metric, such as `"object_accuracy"`.

    Returns:
        The table: mean ± standard deviation of each kind of epoch.
    """
    lines = [["lambda", *EPOCHS.values(), "seeds"]]
    chosen = summary[summary["metric"] == metric]
    for value, row in rows.items():
        group = chosen[chosen["setting"] == row.cell.setting]
        if not group.empty:
            lines.append([str(value), *_numbers(group, metric)])
    return _markdown(lines)


def metrics_table(
    summary: pd.DataFrame, metrics: Sequence[str], epoch: str = "last"
) -> str:
    """A Markdown table with a line a setting and method and a column a
    metric, as the paper's Table 2; the paper's numbers in brackets.

    Args:
        summary: What `summarise` returned.
        metrics: Sequence of metrics.
        epoch: A key of `EPOCHS`.

    Returns:
        The table: mean ± standard deviation.
    """
    lines = [["setting", "method", *metrics, "seeds"]]
    chosen = summary[summary["epoch"] == epoch]
    for (setting, method), group in chosen.groupby(
        ["setting", "method"], sort=False
    ):
        seeds = str(group["seeds"].iloc[0])
        group = group.set_index("metric")
        numbers = [_bracketed(group, metric, metric) for metric in metrics]
        lines.append([setting, METHODS[method].title, *numbers, seeds])
    return _markdown(lines)


def settings_table(
    summary: pd.DataFrame, metric: str, epoch: str = "last"
) -> str:
    """A Markdown table with a line a setting and a column a method, as the
    paper's Table 3; the paper's numbers in brackets.

    Args:
        summary: What `summarise` returned.
        metric: Its metric, such as `"object_accuracy"`.
        epoch: A key of `EPOCHS`.

    Returns:
        The table: mean ± standard deviation.
    """
    chosen = summary[
        (summary["metric"] == metric) & (summary["epoch"] == epoch)
    ]
    methods = list(dict.fromkeys(chosen["method"]))
    lines = [["setting", *(METHODS[each].title for each in methods)]]
    for setting, group in chosen.groupby("setting", sort=False):
        group = group.set_index("method")
        lines.append(
            [setting, *(_bracketed(group, m, metric) for m in methods)]
        )
    return _markdown(lines)


def _numbers(group, metric):
    """The cells of each kind of epoch, and the number of seeds."""
    seeds = str(group["seeds"].iloc[0])
    group = group.set_index("epoch")
    return [*(_number(group.loc[each], metric) for each in EPOCHS), seeds]


def _bracketed(group, key, metric):
    if key not in group.index:
        return "–"
    text = _number(group.loc[key], metric)
    paper = group.loc[key, "paper"]
    return text if pd.isna(paper) else f"{text} ({_value(paper, metric)})"


def _number(row, metric):
    text = _value(row["mean"], metric)
    if row["seeds"] > 1:
        text += f" ± {_value(row['deviation'], metric)}"
    return text


def is_accuracy(metric: str) -> bool:
    """Whether a metric is a fraction, which tables have in percent."""
    return metric.endswith("_accuracy")


def _value(value, metric):
    if pd.isna(value):
        return "–"
    # Percent, as in the paper.
    return f"{100 * value:.2f}" if is_accuracy(metric) else f"{value:.4f}"


def _markdown(lines):
    rule = ["---"] + ["---:"] * (len(lines[0]) - 1)
    return "\n".join(
        "| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:])
    )
