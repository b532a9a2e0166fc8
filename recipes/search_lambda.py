"""Searches lambda and gamma with KerasTuner and without a clean label.

Trains on the quickstart's faces but for some that are held out, with their
noisy labels too. Prints the trials' table and the chosen point; writes
`trials.csv` and the curves of the paper's App. D. Each trial has a process of
its own; a search that was stopped goes on where it was. With KerasTuner's
environment variables (KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP,
KERASTUNER_ORACLE_PORT) several machines share one search.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# The operations of so narrow networks are too small to be split.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import json
import pathlib

import keras_tuner
import pandas as pd
from quickstart import SETTINGS, TASKS, make_data

from keras_noisyfer.plots import plot_training_curves
from keras_noisyfer.results import (
    format_table,
    keep_settings,
    prepare_output_dir,
)
from keras_noisyfer.tuning import (
    DIRECTIONS,
    HISTORY_FILE,
    PAPER_TARGETS,
    JointDistributionHyperModel,
    isolated,
    objective_directions,
    trial_rows,
)
from noisyfer.flags import number_flag, recipe_parser, run_command

TUNERS = {
    "random": keras_tuner.RandomSearch,
    "bayesian": keras_tuner.BayesianOptimization,
}


def run(flags):
    output = prepare_output_dir(flags.output_dir)
    if flags.held_out >= flags.train_size:
        raise ValueError(
            "--held-out must be smaller than --train-size. "
            f"Received: {flags.held_out}"
        )
    for name in ("lambda", "gamma"):
        low, high = getattr(flags, f"{name}_range")
        if low >= high:
            raise ValueError(
                f"--{name}-range must have LOW below HIGH. "
                f"Received: {low} {high}"
            )
    settings = vars(flags).copy()
    # More trials, or another search, are no other settings.
    for name in ("max_trials", "output_dir", "objective", "tuner"):
        del settings[name]
    keep_settings(output, {"search": settings})
    data, _, _ = make_data(flags.train_size, flags.seed)
    train, held_out = data.split(
        (flags.train_size - flags.held_out, flags.held_out), seed=flags.seed
    )
    hypermodel = JointDistributionHyperModel(
        train,
        held_out,
        lambda_joint=tuple(flags.lambda_range),
        gamma=tuple(flags.gamma_range),
        width=flags.width,
        learning_rate=SETTINGS["learning_rate"],
        discriminator_learning_rate=SETTINGS["discriminator_learning_rate"],
        warmup_epochs=flags.epochs // 4,
        batch_size=SETTINGS["batch_size"],
        targets=flags.targets,
        seed=flags.seed,
        encoder_options={
            name: SETTINGS[name] for name in ("batch_normalization", "dropout")
        },
    )
    tuner = isolated(TUNERS[flags.tuner])(
        hypermodel,
        flags.objective,
        max_trials=flags.max_trials,
        seed=flags.seed,
        directory=output,
        project_name=f"{flags.tuner}_{flags.objective}",
    )
    tuner.search(epochs=flags.epochs, verbose=0)
    report(output, tuner, flags.objective)


def report(output, tuner, objective):
    columns = ("trial", "lambda_joint", "gamma", objective, *DIRECTIONS)
    rows = [{key: row[key] for key in columns} for row in trial_rows(tuner)]
    pd.DataFrame(rows).to_csv(output / "trials.csv", index=False)
    histories = {}
    for row in rows:
        folder = pathlib.Path(tuner.get_trial_dir(row["trial"]))
        name = f"lambda {row['lambda_joint']:.2f}, gamma {row['gamma']:.2f}"
        histories[name] = json.loads((folder / HISTORY_FILE).read_text())
    figure = plot_training_curves(
        histories, "val_consensus_loss", "loss on noisy held-out labels"
    )
    figure.savefig(output / "curves.png", dpi=120)
    print(f"\nBest first, by {objective}, last epoch, no clean label:\n")
    print(format_table(rows))
    print(
        f"\nChosen: lambda_joint={rows[0]['lambda_joint']:.3g}, "
        f"gamma={rows[0]['gamma']:.3g}"
    )
    print(f"Table and curves: {output}")


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    count = number_flag(int, minimum=1)
    positive = number_flag(float, above=0)
    add("--max-trials", type=count, default=5)
    # A smaller gamma makes `val_loss` smaller.
    objectives = list(objective_directions(TASKS))
    objectives.remove("val_loss")
    add("--objective", choices=objectives, default="val_consensus_loss")
    add("--tuner", choices=TUNERS, default="random")
    for name, default in (("lambda", (0.05, 2.0)), ("gamma", (0.1, 10.0))):
        add(
            f"--{name}-range",
            nargs=2,
            type=positive,
            default=default,
            metavar=("LOW", "HIGH"),
        )
    add(
        "--targets",
        nargs=2,
        type=number_flag(float),
        default=PAPER_TARGETS,
        metavar=("GENERATOR", "DISCRIMINATOR"),
        help="joint losses for the objective joint_loss_distance",
    )
    add("--epochs", type=count, default=12)
    add("--train-size", type=number_flag(int, minimum=4), default=600)
    add("--held-out", type=number_flag(int, minimum=2), default=100)
    add("--width", type=positive, default=0.125)
    add("--seed", type=number_flag(int, minimum=0), default=0)
    add("--output-dir", default="runs/search_lambda")
    run_command(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
