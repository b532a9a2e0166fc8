"""Trains on noisy multi-task labels, with no download and no file of yours.

Draws faces, lets three annotators mislabel their expressions and one their
valence and arousal, and trains `SHOWN`, plain training and remedies, with the
same encoder and number of epochs. Chooses an epoch of each, and one of them, by
the noisy labels of held-out faces. Prints one table, with what the choice is
worth on clean faces, and writes results, pictures and SavedModels.
"""

import argparse
import os
import sys
import time

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# The operations of so narrow networks are too small to be split.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import numpy as np
import tensorflow_datasets as tfds

from keras_noisyfer import noise
from keras_noisyfer.comparison import (
    CROWD_ANNOTATORS,
    METHODS,
    Case,
    EpochLog,
    train_method,
)
from keras_noisyfer.datasets import (
    AFFECT,
    EXPRESSIONS,
    load_synthetic_faces,
)
from keras_noisyfer.plots import (
    plot_confusion_matrix,
    plot_image_grid,
    plot_training_curves,
)
from keras_noisyfer.results import (
    format_table,
    prepare_output_dir,
    write_json,
)
from keras_noisyfer.serving import ModelCard, export, export_decoder
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask
from noisyfer.flags import number_flag

TASKS = [
    CategoricalTask("expression", class_names=EXPRESSIONS, annotators=3),
    ContinuousTask("affect", dimensions=("valence", "arousal")),
]
SHOWN = ("vggnet", "majority-vote", "sce", "elr", "proposed", "joint-elr")
IMAGE_SIZE = 32
HELD_OUT_SIZE = 200
TEST_SIZE = 1000
SETTINGS = {
    "batch_size": 32,
    "learning_rate": 2e-3,
    "discriminator_learning_rate": 1e-3,
    "decay": True,
    "batch_normalization": True,
    # A narrow encoder has no units to spare for dropout.
    "dropout": 0.0,
    "lambda_joint": 1.0,
}
# As good as an alternating step on each batch, at half the cost.
JOINT_EVERY = 4
REPORTED = {
    "accuracy": "val_expression_accuracy",
    "ccc": "val_affect_ccc",
    "mse": "val_affect_mse",
}


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--epochs", type=number_flag(int, minimum=1), default=24)
    add("--train-size", type=number_flag(int, minimum=2), default=900)
    add("--width", type=number_flag(float, above=0), default=0.125)
    # Seeds of the noise are made from it.
    add(
        "--seed",
        type=number_flag(int, minimum=0, maximum=2**31 - 1),
        default=0,
    )
    add("--output-dir", default="runs/quickstart")
    return parser.parse_args(arguments)


def make_data(train_size, seed):
    """Faces with noisy labels, clean ones to test on, and what of the labels
    is wrong."""
    train, test = (
        load_synthetic_faces(
            None, split, train_size, TEST_SIZE, seed, IMAGE_SIZE
        )
        for split in ("train", "test")
    )
    noisy, realised = {}, {}
    for index, task in enumerate(TASKS):
        noisy[task.name] = noise.annotate(
            train.clean[task.name],
            CROWD_ANNOTATORS[task.name],
            num_classes=len(EXPRESSIONS),
            seed=2 * seed + index,
        )
        realised[task.name] = noise.realised_noise(
            noisy[task.name], train.clean[task.name]
        )
        print(noise.format_realised_noise(task.name, realised[task.name]))
    data = train.with_labels(noisy, TASKS)
    return data, test.with_labels(test.clean, TASKS), realised


def make_test_data(test):
    return test.batches(batch_size=250)


def make_settings(epochs):
    # The warm-up ends where plain training has left its plateau.
    return {"warmup_epochs": epochs // 4, **SETTINGS}


def make_case(train_size, seed):
    """Training faces, held-out ones with labels as noisy, clean test faces;
    and what of the labels is wrong."""
    data, test, realised = make_data(train_size + HELD_OUT_SIZE, seed)
    train, held_out = data.split([train_size, HELD_OUT_SIZE], seed)
    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    return Case(train, held_out, test.clean_labels(), shape, None), realised


def run(flags):
    if not sys.stderr.isatty():
        # In a log each of its updates is a line.
        tfds.disable_progress_bar()
    output = prepare_output_dir(flags.output_dir)
    print(f"Drawing {flags.train_size + HELD_OUT_SIZE + TEST_SIZE:,} faces")
    case, realised = make_case(flags.train_size, flags.seed)
    settings = {**make_settings(flags.epochs), "joint_every": JOINT_EVERY}
    results, histories, models = [], {}, {}
    for method in SHOWN:
        start = time.time()
        log = EpochLog(output / f"{method}.csv", case)
        models[method], _ = train_method(
            method,
            case.train,
            None,
            image_shape=case.image_shape,
            epochs=flags.epochs,
            width=flags.width,
            seed=flags.seed,
            callbacks=[log],
            verbose=0,
            **settings,
        )
        row = make_row(METHODS[method].title, log, time.time() - start)
        results.append(row)
        histories[row["method"]] = {
            key: [each.get(key) for each in log.rows] for key in log.rows[-1]
        }
        print(f"{row['method']}: {row['seconds']:.0f} s", flush=True)

    # As `EpochLog` chooses an epoch.
    chosen, result = max(
        zip(SHOWN, results, strict=True),
        key=lambda pair: pair[1]["noisy accuracy"] + pair[1]["noisy ccc"],
    )
    title = result["method"]
    write_figures(output, models, chosen, histories, case.test)
    settings = {
        "epochs": flags.epochs,
        "train_size": flags.train_size,
        "width": flags.width,
        "seed": flags.seed,
        **settings,
    }
    export(
        models[chosen],
        output / "saved_model" / "1",
        card=make_card(realised, {"method": title, **settings}, result),
        overwrite=True,
    )
    export_decoder(
        models["proposed"], output / "saved_decoder" / "1", overwrite=True
    )
    write_json(
        output / "results.json",
        {
            "settings": settings,
            "realised_noise": realised,
            "results": results,
            "chosen": title,
            "histories": histories,
        },
    )
    print(
        "\nnoisy: on the noisy labels of held-out faces, after the epoch that "
        f"they choose\nclean: on {TEST_SIZE:,} clean test faces, after that "
        f"epoch; last: after the last of {flags.epochs}\n"
    )
    print(format_table(results))
    print(f"\nThe held-out noisy labels choose {title}.")
    print(f"\nResults, pictures and SavedModels: {output}")


def make_row(title, log, seconds):
    """A method's line of the table."""
    summary = log.summary()
    epoch = summary["epochs"]["chosen"]
    noisy = log.rows[epoch - 1]
    accuracy, ccc = "expression_accuracy", "affect_ccc"
    return {
        "method": title,
        "epoch": epoch,
        "noisy accuracy": noisy[f"validation_{accuracy}"],
        "noisy ccc": noisy[f"validation_{ccc}"],
        "accuracy": summary["test"][accuracy]["chosen"],
        "ccc": summary["test"][ccc]["chosen"],
        "last accuracy": summary["test"][accuracy]["last"],
        "last ccc": summary["test"][ccc]["last"],
        "seconds": round(seconds),
    }


def make_card(realised, settings, result):
    return ModelCard(
        title="Quickstart: expression and affect of drawn faces",
        data="Drawn faces of `keras_noisyfer.datasets.synthetic_faces`, with "
        "labels of simulated annotators. No photograph, no person: what the "
        "model says of a real face means nothing.",
        data_license="None needed; the pictures are computed.",
        faces=True,
        weights_license="Apache-2.0",
        realised_noise=realised,
        settings=settings,
        metrics={name: result[f"last {name}"] for name in ("accuracy", "ccc")},
        selection_rule="The method was chosen by the noisy labels of held-out "
        f"faces; on {TEST_SIZE:,} clean test faces after the last epoch.",
    )


def write_figures(output, models, chosen, histories, test):
    figure = plot_training_curves(
        histories, "test_expression_accuracy", "test accuracy"
    )
    figure.savefig(output / "training_curves.png", dpi=120)

    predicted = models[chosen].predict(test.batches(batch_size=250), verbose=0)
    figure = plot_confusion_matrix(
        test.labels["expression"].reshape(-1),
        predicted["expression"].argmax(axis=-1),
        EXPRESSIONS,
    )
    figure.savefig(output / "confusion_matrix.png", dpi=120)

    rows, classes = 5, np.arange(len(EXPRESSIONS), dtype="int32")
    images = models["proposed"].generate(
        {
            "expression": np.tile(classes, rows),
            "affect": np.tile(AFFECT, (rows, 1)),
        },
        seed=0,
    )
    images = images.reshape(rows, len(classes), *images.shape[1:])
    figure = plot_image_grid(images, EXPRESSIONS)
    figure.savefig(output / "generated_faces.png", dpi=120)


def main(arguments=None):
    flags = parse_arguments(arguments)
    try:
        run(flags)
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
