"""The order of methods on held-out noisy labels, and how sure it is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from keras_noisyfer.comparison.noisy_scores import resample_counts, score_tasks
from keras_noisyfer.typing import Tasks

if TYPE_CHECKING:
    from keras_noisyfer.datasets.labelled_images import LabelledImages
    from keras_noisyfer.models import MultiTaskModel


@dataclasses.dataclass
class Ranking:
    """What `compare` has found.

    Attributes:
        table: `pandas.DataFrame` with a line a method, best first, by its
            key: `title`, for each task its score on held-out noisy labels
            (`<task>`, `<task>_low`, `<task>_high`: a 95 % bootstrap interval),
            `mean_rank` over the tasks, `behind` (whether the interval of its
            distance to the first is above 0: otherwise they cannot be told
            apart), with test images `<task>_clean`, `epoch` (the best one),
            `epochs` (how many it was trained) and `seconds`.
        remarks: List of what to know before it is trusted.
        model: The first method's model, trained on all images, or None.
    """

    table: pd.DataFrame
    remarks: list[str]
    model: MultiTaskModel | None = None

    @property
    def recommended(self) -> str:
        """Key of the first method."""
        return self.table.index[0]

    @property
    def recommendation(self) -> str:
        """What to take, in a sentence."""
        first = self.table.iloc[0]
        if len(self.table) == 1:
            return f"Only {first['title']} was tried: that is no comparison."
        text = f"Use {first['title']} for {count_epochs(first['epoch'])}"
        equal = self.table[~self.table["behind"] & ~self.stopped]
        equal = equal.drop(self.recommended, errors="ignore")
        if equal.empty:
            return f"{text}: it is ahead of all others."
        text += f"; {', '.join(equal['title'])} cannot be told apart from it"
        cheapest = equal.loc[equal["seconds"].idxmin()]
        share = cheapest["seconds"] / max(first["seconds"], 1e-9)
        if share < 0.8:
            text += f", and {cheapest['title']} takes {share:.0%} of the time"
        return f"{text}."

    @property
    def stopped(self) -> pd.Series:
        """Whether a method was left behind on the way, for want of time."""
        return self.table["epochs"] < self.table["epochs"].max()

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        ends = [each for each in self.table if each.endswith("_low")]
        return [each.removesuffix("_low") for each in ends]

    def __str__(self):
        names = self.tasks
        shown = pd.DataFrame(index=self.table["title"].to_list())
        for name in names:
            shown[name] = [
                f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, "
                f"{row[f'{name}_high']:.3f}]"
                for _, row in self.table.iterrows()
            ]
        for name in names:
            if f"{name}_clean" in self.table:
                clean = self.table[f"{name}_clean"]
                shown[f"{name}, clean"] = clean.map("{:.3f}".format).to_list()
        if len(names) > 1:
            shown["mean rank"] = self.table["mean_rank"].to_list()
        behind = self.table["behind"].map(
            {True: "behind", False: "cannot be told apart"}
        )
        behind[self.stopped] = "stopped early"
        shown["to the first"] = behind.to_list()
        shown.iloc[0, -1] = ""
        shown["epoch"] = [
            f"{row.epoch} of {row.epochs}" for row in self.table.itertuples()
        ]
        shown["seconds"] = self.table["seconds"].round().astype(int).to_list()
        return "\n".join(
            [
                "On held-out noisy labels (accuracy or CCC; 95 % intervals):",
                "",
                shown.to_string(),
                "",
                self.recommendation,
                *self.remarks,
            ]
        )

    def figure(self) -> Figure:
        """The scores with their intervals, a panel a task; in gray what is
        behind the first."""
        names = self.tasks
        height = 1.2 + 0.32 * len(self.table)
        figure = Figure((3 + 3.4 * len(names), height), layout="constrained")
        panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for panel, name in zip(panels, names, strict=True):
            low, high = (self.table[f"{name}_{end}"] for end in ("low", "high"))
            score = self.table[name]
            for place, (each, behind) in enumerate(
                zip(score, self.table["behind"], strict=True)
            ):
                panel.errorbar(
                    each,
                    place,
                    xerr=[
                        [each - low.iloc[place]],
                        [high.iloc[place] - each],
                    ],
                    fmt="o",
                    color="0.6" if behind else "C0",
                )
            panel.set_title(name)
            panel.set_xlabel("on held-out noisy labels")
            panel.grid(axis="x", alpha=0.3)
        panels[0].set_yticks(range(len(self.table)), self.table["title"])
        panels[0].invert_yaxis()
        return figure


def count_epochs(number: int) -> str:
    """Such as `"1 epoch"`."""
    return f"{number} epoch{'' if number == 1 else 's'}"


def rank_trials(
    trials: list[Any],
    tasks: Tasks,
    held_out: LabelledImages,
    balanced: bool,
    seed: int,
    test: LabelledImages | None = None,
) -> pd.DataFrame:
    """The `table` of a `Ranking`.

    Args:
        trials: List of objects with `key`, `title`, `predictions` and
            `test_predictions` (dicts by task name), `epoch`, `history` and
            `seconds`.
        tasks: The tasks that held-out images have labels of.
        held_out: `LabelledImages`.
        balanced: See `score_tasks`.
        seed: Of the bootstrap.
        test: `LabelledImages` with clean labels, or None.
    """
    counts = resample_counts(len(held_out), seed)
    rows, samples = [], []
    for trial in trials:
        scores = score_tasks(
            tasks, held_out.labels, trial.predictions, counts, balanced
        )
        row = {"method": trial.key, "title": trial.title}
        for name, each in scores.items():
            low, high = np.nanpercentile(each[1:], [2.5, 97.5])
            row |= {name: each[0], f"{name}_low": low, f"{name}_high": high}
        if test is not None:
            clean = score_tasks(
                test.labelled_tasks,
                test.labels,
                trial.test_predictions,
                balanced=balanced,
            )
            row |= {f"{name}_clean": each[0] for name, each in clean.items()}
        row |= {
            "epoch": trial.epoch,
            "epochs": len(trial.history),
            "seconds": trial.seconds,
        }
        rows.append(row)
        samples.append(np.stack(list(scores.values())))
    # By method, task and sample; better is higher.
    samples = np.nan_to_num(np.stack(samples), nan=-1.0)
    better = (samples[None] > samples[:, None]).sum(axis=1)
    equal = (samples[None] == samples[:, None]).sum(axis=1)
    ranks = (1 + better + (equal - 1) / 2).mean(axis=1)
    table = pd.DataFrame(rows).set_index("method")
    table.insert(1, "mean_rank", ranks[:, 0])
    order = np.lexsort((-samples[:, :, 0].mean(axis=1), ranks[:, 0]))
    first = order[0]
    if len(tasks) == 1:
        distance = samples[first, 0] - samples[:, 0]
    else:
        distance = ranks - ranks[first]
    lowest = np.percentile(distance[:, 1:], 2.5, axis=1)
    table.insert(2, "behind", lowest > 0)
    return table.iloc[order]


def tell_guessing(table: pd.DataFrame, guesses: dict[str, float]) -> list[str]:
    """A remark if the first method is no better than always the same answer,
    whose scores by task are `guesses`; else none."""
    first = table.iloc[0]
    if any(first[f"{name}_low"] > guess for name, guess in guesses.items()):
        return []
    told = ", ".join(f"{name} {guess:.3f}" for name, guess in guesses.items())
    return [
        f"Not even {first['title']} is surely better than always the same "
        f"answer ({told}): train for longer before you choose."
    ]
