"""The table and figures of an experiment, of the cells that are finished."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import pandas as pd

from keras_noisyfer.comparison import figures
from keras_noisyfer.comparison.experiment import AXES, Cell, Experiment, slug
from keras_noisyfer.comparison.methods import METHODS
from keras_noisyfer.comparison.reading import (
    categorical_tasks,
    read_arrays,
    read_cells,
)
from keras_noisyfer.plots import plot_annotator_models
from keras_noisyfer.typing import PathLike

if TYPE_CHECKING:
    from keras_noisyfer.datasets.labelled_images import LabelledImages

# Which of a cell's epochs a number is of.
EPOCHS = {
    "last": "last epoch",
    "chosen": "chosen on noisy validation labels",
    "best": "best test epoch (not fair)",
}
PAPER = "paper, full size"
# Whose predictions are shown side by side, as in App. Fig. 3 and 4.
SHOWN = ("vggnet", "co-teaching", "proposed")


def summarize(folder: PathLike, experiment: Experiment) -> pd.DataFrame:
    """The numbers of an experiment, over the seeds that are finished.

    Args:
        folder: Folder of the results.
        experiment: `Experiment`.

    Returns:
        A `pandas.DataFrame` with a line a setting, method, metric and kind of
        epoch: `setting`, `method`, `metric`, `epoch` (a key of `EPOCHS`),
        `mean`, `deviation` (of the sample; NaN for one seed), `seeds` and
        `paper`. It is in the order of the experiment, without what has no
        finished cell.

    Raises:
        ValueError: if no cell of the experiment is finished.
    """
    wanted = pd.DataFrame(
        [
            {
                "setting": setting.name,
                "method": method,
                "metric": metric,
                "paper": setting.paper.get(metric, {}).get(method),
            }
            for setting in experiment.settings
            for method in setting.methods
            for metric in experiment.metrics
        ]
    )
    types = {"metric": str, **dict.fromkeys(EPOCHS, float)}
    keys = ["setting", "method", "metric"]
    cells = wanted.merge(read_cells(folder, **types), on=keys)
    if cells.empty:
        raise ValueError(
            f"`folder` must hold at least one finished cell of "
            f"{experiment.name}. Received: {folder}"
        )
    cells["paper"] = cells["paper"].astype(float)
    numbers = cells.melt([*keys, "paper"], list(EPOCHS), "epoch")
    return (
        numbers.groupby([*keys, "epoch"], sort=False)
        .agg(
            mean=("value", "mean"),
            deviation=("value", "std"),
            seeds=("value", "size"),
            paper=("paper", "first"),
        )
        .reset_index()
    )


def make_tables(folder: PathLike, experiment: Experiment) -> str:
    """The experiment's tables as Markdown: mean ± standard deviation.

    Accuracies are in percent. The paper's numbers are in brackets, or where
    there is a column for each kind of epoch in one of their own. The last one
    is that of `make_choice_table`, where there is a choice.
    """
    summary = summarize(folder, experiment)
    by_epoch = experiment.columns == "epoch"
    summary["text"] = [_number(row, by_epoch) for row in summary.itertuples()]
    columns, rows = experiment.columns, list(experiment.rows)
    order = {
        "setting": [each.name for each in experiment.settings],
        "method": experiment.methods,
        "metric": list(experiment.metrics),
        "epoch": [*EPOCHS, PAPER],
    }
    if by_epoch and summary["paper"].notna().any():
        column = summary[summary["epoch"] == "last"].assign(epoch=PAPER)
        column["text"] = [
            _value(each.paper, each.metric) for each in column.itertuples()
        ]
        summary = pd.concat([summary, column])
    parts = []
    others = [key for key in AXES if key not in (columns, *rows)]
    for names, group in summary.groupby(others, sort=False):
        table = group.pivot(index=rows, columns=columns, values="text")
        table = table.reindex(columns=[c for c in order[columns] if c in table])
        for key in reversed(rows):
            table = table.sort_index(
                level=key,
                key=lambda names, key=key: names.map(order[key].index),
                sort_remaining=False,
                kind="stable",
            )
        seeds = group.groupby(rows)["seeds"].agg(["min", "max"])
        table["seeds"] = [
            _range(*each) for each in seeds.reindex(table.index).to_numpy()
        ]
        kept = dict(zip(others, names, strict=True))
        title = ", ".join(_title(*each) for each in kept.items())
        parts.append(f"{title}:\n\n{_markdown(table, rows, columns)}")
    chosen = make_choice_table(folder, experiment)
    if chosen:
        parts.append(f"What is chosen among the methods:\n\n{chosen}")
    return "\n\n".join(parts)


def make_choice_table(folder: PathLike, experiment: Experiment) -> str:
    """A Markdown table of what noisy labels choose among the methods.

    Of each setting and seed, the method whose chosen epoch agrees best with
    the noisy validation labels (`noisy_score` of `cells.csv`, a sum over the
    tasks; `compare` has their mean rank); its metrics on clean test images
    are told as mean ± standard deviation over the seeds. Below it the one
    method that is best on clean test images, of those that all these seeds
    have: nobody without clean labels could have known it. Empty where no
    setting has two methods.
    """
    if "noisy_score" not in read_cells(folder):
        # Of a version before it was written down.
        return ""
    cells = read_cells(folder, metric=str, chosen=float, noisy_score=float)
    is_known = cells["chosen"].notna() & cells["noisy_score"].notna()
    cells = cells[is_known & (cells["method"] != "vggnet-clean")]
    metrics = [m for m in experiment.metrics if m in set(cells["metric"])]
    lines = [["setting", "by", "method (seeds)", "of methods", *metrics]]
    lines.append(["---"] * 3 + ["---:"] * (1 + len(metrics)))
    for setting in experiment.settings:
        own = cells[cells["setting"] == setting.name]
        own = own[own["method"].isin(setting.methods)]
        scores = own.pivot_table("noisy_score", "seed", "method")
        if scores.shape[1] < 2:
            continue
        numbers = own.pivot(
            index=["seed", "method"], columns="metric", values="chosen"
        ).reindex(columns=metrics)
        known = [each for each in metrics if numbers[each].notna().any()]
        if not known:
            continue
        first = known[0]
        everywhere = numbers[first].unstack().dropna(axis="columns")
        count = scores.notna().sum(axis="columns")
        picks = {"noisy labels": (scores.idxmax(axis="columns"), count)}
        if everywhere.size:
            means = everywhere.mean()
            best = means.idxmin() if first.endswith("_mse") else means.idxmax()
            picks["clean labels, one for all seeds (not fair)"] = (
                pd.Series(best, scores.index),
                pd.Series(everywhere.shape[1]),
            )
        for title, (chosen, among) in picks.items():
            picked = numbers.loc[[*chosen.items()]]
            names = [
                f"{_title('method', name)} ({count})"
                for name, count in chosen.value_counts().items()
            ]
            texts = [
                _spread(each.mean(), each.std(), len(each), metric)
                for metric, each in picked.items()
            ]
            among = _range(among.min(), among.max())
            lines.append([setting.name, title, ", ".join(names), among, *texts])
    return _join(lines) if len(lines) > 2 else ""


def write_report(
    experiment: Experiment,
    folder: PathLike,
    test: LabelledImages | None = None,
    seed: int = 0,
) -> None:
    """Prints the tables and writes them and the figures into the folder.

    `<name>.md` are the tables; a figure is called by its experiment, kind and
    setting, such as `table1_samples_multi-label.png`.

    Args:
        experiment: `Experiment`.
        folder: Folder of the results.
        test: `LabelledImages` that it was tested on; without them there are
            no `"examples"`.
        seed: Of the cells of which single predictions are shown.
    """
    tables = make_tables(folder, experiment)
    print(f"\n{tables}\n")
    folder = pathlib.Path(folder)
    path = folder / f"{experiment.name}.md"
    path.write_text(tables + "\n", encoding="utf-8")
    for names, figure in _draw(experiment, folder, test, seed):
        name = "_".join(map(slug, (experiment.name, *names)))
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=120)


def _draw(experiment, folder, test, seed):
    """Pairs of a figure's name, in parts, and the figure."""
    cells = read_cells(folder)
    finished = {}
    for setting in experiment.settings:
        there = set(cells["method"][cells["setting"] == setting.name])
        methods = [m for m in METHODS if m in there & set(setting.methods)]
        if methods:
            finished[setting.name] = methods
    metric = experiment.metrics[0]
    if "lambda" in experiment.figures:
        settings = {
            {
                "lambda_joint": experiment.profile.lambda_joint,
                **setting.options,
                **setting.method_options.get("proposed", {}),
            }["lambda_joint"]: setting.name
            for setting in experiment.settings
            if "proposed" in finished.get(setting.name, ())
        }
        if settings:
            figure = figures.plot_lambda_study(folder, settings, metric)
            yield ("lambda", metric), figure
    for setting, methods in finished.items():
        there = cells[cells["setting"] == setting]
        if "curves" in experiment.figures:
            tested = set(there["metric"])
            curves = [m for m in experiment.metrics if m in tested]
            figure = figures.plot_accuracy_by_step(
                folder, setting, curves, methods
            )
            yield ("accuracy_by_step", setting), figure
        there = set(there["method"][there["seed"] == seed])
        methods = [each for each in methods if each in there]
        yield from _draw_cells(experiment, folder, setting, methods, test, seed)


def _draw_cells(experiment, folder, setting, methods, test, seed):
    def has(method, name):
        cell = Cell(setting, method, seed, experiment.data)
        return method in methods and (folder / cell.folder / name).exists()

    kinds = experiment.figures
    if "samples" in kinds and has("proposed", "samples.npz"):
        figure = figures.plot_samples(folder, setting, seed=seed)
        yield ("samples", setting), figure
    elif "samples" in kinds and "proposed" in methods:
        cell = Cell(setting, "proposed", seed, experiment.data)
        print(f"No samples are drawn: {cell.folder} has no samples.npz")
    compared = [m for m in SHOWN if has(m, "predictions.npz")]
    names = []
    if compared:
        name = "predictions.npz"
        arrays = read_arrays(folder, setting, compared[0], seed, name)
        names = [
            each
            for each in categorical_tasks(arrays)
            if (arrays[f"{each}_clean"] >= 0).any()
        ]
    for task in names:
        arguments = (folder, setting, compared, task)
        if "confusion_matrices" in kinds:
            figure = figures.plot_confusion_matrices(*arguments, seed)
            yield ("confusion_matrices", setting, task), figure
        both = "proposed" in compared and len(compared) > 1
        if "examples" in kinds and both and test is not None:
            figure = figures.plot_examples(*arguments, test, seed=seed)
            yield ("examples", setting, task), figure
    if "annotator_models" in kinds:
        name = "annotator_models.npz"
        for method in methods:
            if method not in ("ltnet", "proposed") or not has(method, name):
                continue
            arrays = read_arrays(folder, setting, method, seed, name)
            for key in arrays:
                if not key.endswith("_learned"):
                    continue
                task = key.removesuffix("_learned")
                figure = plot_annotator_models(
                    arrays[key],
                    arrays[f"{task}_injected"],
                    arrays[f"{task}_class_names"].tolist(),
                )
                yield ("annotators", setting, task, method), figure


def _range(low, high):
    return f"{low}" if low == high else f"{low}–{high}"


def _spread(mean, deviation, seeds, metric):
    text = _value(mean, metric)
    if seeds > 1 and text != "–":
        text += f" ± {_value(deviation, metric)}"
    return text


def _number(row, without_paper):
    text = _spread(row.mean, row.deviation, row.seeds, row.metric)
    if without_paper or pd.isna(row.paper):
        return text
    return f"{text} ({_value(row.paper, row.metric)})"


def _value(value, metric):
    if pd.isna(value):
        return "–"
    # Percent, as in the paper.
    percent = metric.endswith("_accuracy")
    return f"{100 * value:.2f}" if percent else f"{value:.4f}"


def _title(key, name):
    if key == "method":
        return METHODS[name].title
    if key == "metric":
        title = f"{name.replace('_', ' ')} on clean test images"
        return f"{title}, percent" if name.endswith("_accuracy") else title
    return EPOCHS.get(name, name) if key == "epoch" else name


def _markdown(table, rows, columns):
    names = list(table.columns)
    if columns != "metric":
        names[:-1] = [_title(columns, name) for name in names[:-1]]
    lines = [[*rows, *names], ["---"] * len(rows)]
    lines[1] += ["---:"] * len(table.columns)
    for index, line in zip(table.index, table.to_numpy(), strict=True):
        names = index if len(rows) > 1 else [index]
        texts = ["–" if pd.isna(each) else each for each in line]
        names = map(_title, rows, names)
        lines.append([*names, *texts])
    return _join(lines)


def _join(lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
