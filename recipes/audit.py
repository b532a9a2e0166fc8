"""Says which labels are suspect, and how good each annotator is.

Trains the joint-distribution GAN on noisy labels, then holds every label
against its predictions, the other annotators and the other tasks. Writes
tables that join your own rows and one page with the most suspect images.
Without data of yours it audits the quickstart's faces or, with --cifar10,
CIFAR-10 with the paper's three label sets; where the truth is known it then
tells how well that went. For CSV files see recipes/your_csv.py.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# The operations of so narrow networks are too small to be split.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import pathlib

import numpy as np
import quickstart
from audit_summary import METRICS

from keras_noisyfer.arguments import number_flag
from keras_noisyfer.auditing.audit import METHODS, audit
from keras_noisyfer.auditing.measures import measure_audit
from keras_noisyfer.auditing.page import write_audit
from keras_noisyfer.auditing.predictions import predict_images
from keras_noisyfer.command_line.tables import (
    add_table_flags,
    load_table_data,
    table_options,
)
from keras_noisyfer.command_line.training import recipe_parser, run_recipe
from keras_noisyfer.comparison import read_experiment
from keras_noisyfer.comparison.training import train_method
from keras_noisyfer.datasets.cifar10 import load_cifar10
from keras_noisyfer.files import read_npz
from keras_noisyfer.relabelling import load_model
from keras_noisyfer.results import (
    format_table,
    prepare_output_dir,
    write_json,
)

_MAX_BYTES = 2**32
TABLE1 = pathlib.Path(__file__).parent / "experiments" / "table1.toml"
# What its profile sets of training.
TRAINING = (
    "warmup_epochs",
    "learning_rate",
    "decay",
    "batch_normalization",
    "dropout",
    "lambda_joint",
    "gamma",
)


def run(flags):
    output = prepare_output_dir(flags.output_dir)
    data, settings = load_data(flags)
    print(f"Auditing {data}", flush=True)
    predictions = make_predictions(flags, data, settings)
    np.savez_compressed(
        output / "predictions.npz", image=data.names, **predictions
    )
    found = audit(predictions, data, method=flags.method)
    page = write_audit(found, data, output, flags.thumbnails)
    print(f"\nThe most suspect labels of {len(found.labels):,}:\n")
    print(found.suspects(10).to_string(index=False))
    if data.clean:
        report(flags, data, settings, predictions, output)
    print(f"\nPage: {page}\nTables: {output}")


def load_data(flags):
    """The `LabelledImages`, and settings of training them by name."""
    if bool(flags.csv) != bool(flags.image_root):
        raise ValueError(
            "--csv and --image-root must be given together. Received: "
            f"{flags.csv}, {flags.image_root}"
        )
    if flags.csv and flags.cifar10:
        raise ValueError("--csv must not be given with --cifar10.")
    if flags.csv or flags.cifar10:
        profile = read_experiment(TABLE1).profile
        settings = {name: getattr(profile, name) for name in TRAINING}
        size = flags.image_size or (64 if flags.csv else 32)
        settings["image_shape"] = (size, size, 3)
        chosen = ("epochs", "width", "batch_size")
        default = {name: getattr(profile, name) for name in chosen}
    else:
        default = {"epochs": 36, "width": 0.125}
        default["batch_size"] = quickstart.SETTINGS["batch_size"]
        epochs = flags.epochs or default["epochs"]
        settings = {**quickstart.make_settings(epochs), "image_shape": None}
    for name, value in default.items():
        settings[name] = getattr(flags, name) or value
    if flags.csv:
        data, _ = load_table_data(table_options(flags), flags.seed)
        size = flags.train_size
    elif flags.cifar10:
        size = flags.train_size or profile.train_size
        data = load_cifar10(flags.cifar10, "train", size, seed=flags.seed)
    else:
        size = flags.train_size or 900
        data, _, _ = quickstart.make_data(size, flags.seed)
    return data.take(size) if size else data, settings


def make_predictions(flags, data, settings):
    """Predictions for all images, from where the flags say."""
    if flags.predictions:
        names = [task.name for task in data.tasks]
        arrays = read_npz(flags.predictions, _MAX_BYTES, required=names)
        order = slice(None)
        if "image" in arrays:
            rows = {name: row for row, name in enumerate(arrays["image"])}
            missing = [name for name in data.names if name not in rows]
            if missing:
                raise ValueError(
                    "--predictions must be of all images. Received: "
                    f"{flags.predictions}, with none of {missing[0]}"
                )
            order = [rows[name] for name in data.names]
        arrays = {name: arrays[name][order] for name in names}
        return predict_images(arrays, data)
    if flags.model:
        return predict_images(load_model(flags.model), data)

    def train(part):
        model, _ = train_method(
            "proposed", part, None, seed=flags.seed, verbose=2, **settings
        )
        return model

    if flags.folds:
        return predict_images(train, data, flags.folds, seed=flags.seed)
    return predict_images(train(data), data)


def report(flags, data, settings, predictions, output):
    """Prints and writes how far every method is from the truth."""
    measures = {
        method: measure_audit(
            audit(predictions, data, method=method), data, flags.seed
        )
        for method in METHODS
    }
    write_json(
        output / "measures.json",
        {
            "settings": {
                **settings,
                "folds": flags.folds,
                "images": len(data),
                "seed": flags.seed,
            },
            "measures": measures,
        },
    )
    for task in data.tasks:
        rows = [
            {"method": method, **measures[method][task.name]}
            for method in METHODS
            if task.name in measures[method]
        ]
        if rows and "auroc" in rows[0]:
            keys = ("method", *METRICS[0])
            rows = [{key: row[key] for key in keys} for row in rows]
            print(f"\n{task.name}, against the truth:\n{format_table(rows)}")


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    count = number_flag(int, minimum=1)
    add("--cifar10", metavar="FILE.npz", help="see recipes/cifar10.py")
    add_table_flags(parser, required=False)
    add(
        "--folds",
        type=number_flag(int, minimum=0),
        default=0,
        help="predict each part of the images by a model trained on the "
        "others; 0: one model that has seen all of them",
    )
    add("--method", choices=METHODS, default="posterior")
    add("--model", metavar="FILE.keras", help="audit by a trained model")
    add(
        "--predictions",
        metavar="FILE.npz",
        help="audit by the predictions that an earlier audit has written, an "
        "array for each task; paired by the names in `image` if there are any",
    )
    for name, kind, text in (
        ("train-size", count, "the first so many images"),
        ("epochs", count, "number of epochs"),
        ("width", number_flag(float, above=0), "multiplier of all filters"),
        ("batch-size", number_flag(int, minimum=2), "images a batch"),
        ("image-size", count, "height and width that images are scaled to"),
    ):
        add(f"--{name}", type=kind, help=f"{text}; by default the data's own")
    add("--thumbnails", type=number_flag(int, minimum=0), default=200)
    add(
        "--seed",
        type=number_flag(int, minimum=0, maximum=2**31 - 1),
        default=0,
    )
    add("--output-dir", default="runs/audit")
    run_recipe(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
