"""Compares automatic weights with a grid of lambda, on the quickstart's faces.

Trains the joint-distribution GAN with each of five lambdas, with an automatic
lambda, and with lambda and gamma automatic, over several seeds. Prints the
last epoch's metrics on the clean test faces, and how far the automatic
weights are from the best of the grid. A comparison that was stopped goes on
where it was.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# The operations of so narrow networks are too small to be split.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import numpy as np
from quickstart import REPORTED, make_data, make_settings, make_test_data

from keras_noisyfer.arguments import AUTO, number_flag
from keras_noisyfer.command_line.training import recipe_parser, run_recipe
from keras_noisyfer.comparison.tables import LAMBDAS
from keras_noisyfer.comparison.training import train_method
from keras_noisyfer.files import read_json
from keras_noisyfer.results import (
    format_table,
    prepare_output_dir,
    summarise_runs,
    write_json,
)

WEIGHTS = {
    **{f"lambda {value}": (value, 1.0) for value in LAMBDAS},
    "both auto": (AUTO, AUTO),
}


def run(flags):
    output = prepare_output_dir(flags.output_dir)
    runs = []
    for seed in dict.fromkeys(flags.seeds):
        results = []
        for name, (lambda_joint, gamma) in WEIGHTS.items():
            path = output / f"{name.replace(' ', '_')}_seed{seed}.json"
            if not path.exists():
                print(f"{name}, seed {seed}", flush=True)
                write_json(path, train(flags, seed, name, lambda_joint, gamma))
            kept = read_json(path)
            if kept["settings"] != settings_of(flags):
                raise ValueError(
                    f"{path} is of other settings: {kept['settings']}. "
                    f"Received: {settings_of(flags)}"
                )
            results.append(kept["result"])
        runs.append((seed, results))
    by_run, by_weights = summarise_runs(runs, REPORTED)
    print(f"\nClean test faces, last epoch of {flags.epochs}, no selection:\n")
    print(format_table(by_run))
    print()
    print(format_table(by_weights))
    print()
    print(format_table(distances(by_run)))


def train(flags, seed, name, lambda_joint, gamma):
    """Trains once: dict of settings, last epoch's result and history."""
    data, test, _ = make_data(flags.train_size, seed)
    _, history = train_method(
        "proposed",
        data,
        make_test_data(test),
        epochs=flags.epochs,
        width=flags.width,
        seed=seed,
        **make_settings(flags.epochs)
        | {"lambda_joint": lambda_joint, "gamma": gamma},
    )
    history = history.history
    last = {each: history[key][-1] for each, key in REPORTED.items()}
    return {
        "settings": settings_of(flags),
        "result": {"method": name, **last},
        "history": history,
    }


def settings_of(flags):
    return {
        name: getattr(flags, name) for name in ("epochs", "train_size", "width")
    }


def distances(by_run):
    """How far the automatic weights' mean accuracy is above the best lambda's,
    in points: rows for `format_table`."""
    means = {
        name: np.mean(
            [row["accuracy"] for row in by_run if row["method"] == name]
        )
        for name in WEIGHTS
    }
    fixed = [name for name, each in WEIGHTS.items() if AUTO not in each]
    best = max(fixed, key=means.get)
    return [
        {
            "weights": name,
            "best of the grid": best,
            "points above it": 100 * (means[name] - means[best]),
        }
        for name in WEIGHTS
        if name not in fixed
    ]


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    seed = number_flag(int, minimum=0, maximum=2**31 - 1)
    add("--seeds", nargs="+", type=seed, default=[0, 1, 2])
    add("--epochs", type=number_flag(int, minimum=1), default=36)
    add("--train-size", type=number_flag(int, minimum=2), default=900)
    add("--width", type=number_flag(float, above=0), default=0.125)
    add("--output-dir", default="runs/automatic_balance")
    run_recipe(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
