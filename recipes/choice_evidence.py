"""How good the choice by held-out noisy labels is, from finished runs.

Reads `results.json` files of the quickstart, and folders of comparisons with
their cells' histories. Of each run: the rank correlation (Spearman) of the
methods' noisy and clean accuracy, and the regret, in points of clean accuracy
lost against the best method, of the noisy choice and of always taking one
method. Each method counts after the epoch that its noisy labels choose.
"""

import pathlib

import pandas as pd

from keras_noisyfer.command_line.training import recipe_parser, run_recipe
from keras_noisyfer.comparison.methods import METHODS
from keras_noisyfer.comparison.reading import read_cells, read_histories
from keras_noisyfer.files import read_json
from keras_noisyfer.results import format_table

FIXED = ("vggnet", "proposed", "sce", "elr")
# Whose clean labels are no choice of anybody's.
LEFT_OUT = ("vggnet-clean",)


def read_quickstart(path):
    """A run's methods: their noisy and clean accuracy, and the choice."""
    content = read_json(path)
    rows = pd.DataFrame(content["results"]).set_index("method")
    rows = rows.rename(columns={"noisy accuracy": "noisy", "accuracy": "clean"})
    rows["by"] = rows["noisy"] + rows["noisy ccc"]
    yield "drawn faces", content["settings"]["seed"], rows


def read_comparison(folder):
    """Likewise, for each setting and seed of a comparison's folder."""
    for setting, _ in read_cells(folder).groupby("setting", sort=False):
        histories = read_histories(folder, setting)
        task = next(
            each.removeprefix("validation_")
            for each in histories
            if each.startswith("validation_") and each.endswith("_accuracy")
        )
        for seed, group in histories.groupby("seed"):
            rows = group.loc[
                group.groupby("method")[f"validation_{task}"].idxmax()
            ].set_index("method")
            rows = rows.drop(index=list(LEFT_OUT), errors="ignore")
            rows = rows.rename(index=lambda key: METHODS[key].title)
            rows["noisy"] = rows["by"] = rows[f"validation_{task}"]
            rows["clean"] = rows[f"test_{task}"]
            # A choice between fewer tells nothing.
            if len(rows) > 3:
                yield f"{pathlib.Path(folder).name}, {setting}", seed, rows


def evidence(data, seed, rows):
    """A line of the table."""
    best = rows["clean"].max()
    chosen = rows["by"].idxmax()
    ranks = rows[["noisy", "clean"]].rank()
    line = {
        "data": data,
        "seed": seed,
        "methods": len(rows),
        "rank correlation": ranks["noisy"].corr(ranks["clean"]),
        "chosen": chosen,
        "regret": 100 * (best - rows.loc[chosen, "clean"]),
    }
    for key in FIXED:
        title = METHODS[key].title
        known = title in rows.index
        clean = rows.loc[title, "clean"] if known else float("nan")
        line[f"always {key}"] = 100 * (best - clean)
    return line


def run(flags):
    lines = []
    for path in flags.paths:
        read = (
            read_comparison if pathlib.Path(path).is_dir() else read_quickstart
        )
        try:
            lines += [evidence(*each) for each in read(path)]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{path} must be a results.json of the quickstart or a folder "
                f"of a comparison. Received: {error!r}"
            ) from error
    table = pd.DataFrame(lines)
    print(format_table(table.to_dict("records")))
    numbers = table.drop(columns=["seed", "methods", "chosen"])
    means = numbers.groupby("data", sort=False).mean().reset_index()
    worst = {"data": "all: largest", **numbers.drop(columns="data").max()}
    overall = {"data": "all: mean", **numbers.drop(columns="data").mean()}
    print()
    print(format_table([*means.to_dict("records"), overall, worst]))
    if flags.output:
        table.to_csv(flags.output, index=False, float_format="%.4f")


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", metavar="FILE_OR_FOLDER")
    parser.add_argument("--output", metavar="FILE.csv", help="the first table")
    run_recipe(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
