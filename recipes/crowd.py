"""Compares ways to learn from a crowd of which each labelled a few faces.

Draws faces, of which each is labelled by three of 60 simulated annotators,
whose skill, the probability of the right expression, is Beta(2, 2)
distributed. Trains the same encoder on resampled label streams, on
Dawid-Skene's consensus, and with the annotators' names, by a crowd layer and
by LTNet. Prints the last epoch's accuracy on clean test faces, and how far
LTNet's matrices are from what the annotators did; draws them.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# The operations of so narrow networks are too small to be split.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from keras_noisyfer import noise
from keras_noisyfer.datasets import (
    EXPRESSIONS,
    LabelledImages,
    load_synthetic_faces,
)
from keras_noisyfer.models import CrowdLayer, LTNet, MultiTaskModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.results import format_table, prepare_output_dir
from keras_noisyfer.tasks import CategoricalTask
from noisyfer.flags import number_flag, recipe_parser, run_command

ANNOTATORS, LABELS = 60, 3
SKILL = (2, 2)
TASK = CategoricalTask("expression", class_names=EXPRESSIONS)
METHODS = ("streams", "dawid-skene", "crowd layer", "ltnet")


def make_crowd(train_size, seed):
    """Faces with the labels of a crowd, and clean test faces."""
    train, test = (
        load_synthetic_faces(split=split, train_size=train_size)
        for split in ("train", "test")
    )
    truth = train.clean[TASK.name]
    skills = np.random.default_rng(seed).beta(*SKILL, ANNOTATORS)
    crowd = [noise.CategoricalAnnotator(rate=1 - each) for each in skills]
    labels = noise.annotate(truth, crowd, TASK.num_classes, seed)
    labels = noise.keep_labels(labels, LABELS, seed)
    data = LabelledImages(
        train.images,
        {TASK.name: labels},
        [TASK.with_annotators(ANNOTATORS)],
        clean={TASK.name: truth},
        annotators={TASK.name: [f"w{i:02}" for i in range(ANNOTATORS)]},
    )
    test = test.with_labels({TASK.name: test.clean[TASK.name]})
    return data, test.batches(batch_size=250)


def without_names(data, method):
    """The same faces with the labels' streams, or with their consensus."""
    labels = data.labels[TASK.name]
    if method == "streams":
        # As `from_csv` makes them of so many annotators.
        given = labels[labels >= 0].reshape(-1, LABELS)
        order = np.random.default_rng(0).random(given.shape).argsort(axis=1)
        given = np.take_along_axis(given, order, axis=1)
    else:
        given = noise.dawid_skene(labels, TASK.num_classes)[:, None]
    return data.with_labels({TASK.name: given})


def train(flags, data, test, seed, method):
    """Trains once: the model and the row of a table."""
    keras.utils.set_random_seed(seed)
    if method in ("streams", "dawid-skene"):
        data = without_names(data, method)
        encoded = data.tasks
    else:
        encoded = [TASK]
    encoder = Encoder(
        encoded,
        (48, 48, 3),
        width=flags.width,
        batch_normalization=True,
        # A narrow encoder has no units to spare for dropout.
        dropout=0.0,
    )
    if method == "ltnet":
        model = LTNet(encoder, data.tasks)
    elif method == "crowd layer":
        model = CrowdLayer(encoder, data.tasks)
    else:
        model = MultiTaskModel(encoder)
    model.compile(keras.optimizers.Adam(2e-3))
    history = model.fit(
        data.batches(batch_size=32, training=True, seed=seed),
        epochs=flags.epochs,
        validation_data=test,
        verbose=0,
    ).history
    accuracy = history["val_expression_accuracy"][-1]
    return model, {"method": method, "seed": seed, "accuracy": accuracy}


def diagonals(data, model):
    """By annotator: name, number of labels, and the mean of the diagonals of
    the real and of the learned matrix."""
    labels, truth = data.labels[TASK.name], data.clean[TASK.name]
    confusion = noise.realised_confusion(labels, truth, TASK.num_classes)
    return pd.DataFrame(
        {
            "annotator": data.annotators[TASK.name],
            "labels": (labels >= 0).sum(axis=0),
            "realised": np.nanmean(np.einsum("aii->ai", confusion), axis=1),
            "learned": np.einsum(
                "aii->ai", model.transition_matrices[TASK.name]
            ).mean(axis=1),
        }
    )


def draw(tables, path):
    """Draws the learned diagonals over the real ones."""
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    for seed, table in tables.items():
        axes.scatter(table.realised, table.learned, s=12, label=f"seed {seed}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.set_xlabel("mean diagonal of the labels given")
    axes.set_ylabel("mean diagonal that LTNet learned")
    axes.legend()
    figure.savefig(path, dpi=150)


def run(flags):
    output = prepare_output_dir(flags.output_dir)
    rows, tables = [], {}
    for seed in dict.fromkeys(flags.seeds):
        data, test = make_crowd(flags.train_size, seed)
        for method in METHODS:
            model, row = train(flags, data, test, seed, method)
            print(row, flush=True)
            rows.append(row)
            if method == "ltnet":
                tables[seed] = diagonals(data, model)
                path = output / f"diagonals_seed{seed}.csv"
                tables[seed].round(4).to_csv(path, index=False)
        # As each seed ends, for a run that is stopped.
        pd.DataFrame(rows).round(4).to_csv(output / "runs.csv", index=False)
    draw(tables, output / "diagonals.png")
    print(f"\nClean test faces, last epoch of {flags.epochs}, no selection:\n")
    rows = pd.DataFrame(rows).pivot(
        index="method", columns="seed", values="accuracy"
    )
    rows = rows.loc[list(METHODS)].rename(columns="seed {}".format)
    print(format_table(rows.reset_index().to_dict("records")))
    for seed, table in tables.items():
        many = table[table.labels >= 100]
        worst = (many.learned - many.realised).abs().max()
        print(
            f"seed {seed}: {len(many)} annotators with 100 labels or more, "
            f"largest error of a mean diagonal {worst:.3f}"
        )


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    seed = number_flag(int, minimum=0, maximum=2**31 - 1)
    add("--seeds", nargs="+", type=seed, default=[0, 1, 2])
    add("--epochs", type=number_flag(int, minimum=1), default=20)
    add("--train-size", type=number_flag(int, minimum=32), default=4000)
    add("--width", type=number_flag(float, above=0), default=0.125)
    add("--output-dir", default="runs/crowd")
    run_command(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
