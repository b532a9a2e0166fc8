"""Compares the methods on your own images and a CSV file of their labels.

The columns are those of your_csv.py. Test images with clean labels (--test-csv
or --test-where) are needed to compare by; an epoch is chosen on noisy labels.
Cells are run and kept as in table1_cifar10.py. Writes `cells.csv`, the history
of every cell, `methods.md` and figures.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import dataclasses
import pathlib

from keras_noisyfer.arguments import number_flag
from keras_noisyfer.command_line.comparison import (
    Comparison,
    comparison_parser,
    raise_failed,
    run_comparison,
    test_images,
)
from keras_noisyfer.command_line.tables import (
    add_table_flags,
    table_identity,
    table_options,
)
from keras_noisyfer.command_line.training import run_recipe
from keras_noisyfer.comparison.profiles import FACE_PROFILES
from keras_noisyfer.comparison.publish import (
    write_curves,
    write_predictions,
    write_report,
)
from keras_noisyfer.comparison.report import (
    methods_table,
    metric_title,
    summarise,
)
from keras_noisyfer.comparison.tables import method_rows
from keras_noisyfer.networks.network import IMAGE_SIZES

SETTING = "your data"
# Those that need neither clean labels nor crowd-kit.
METHODS = (
    "majority-vote",
    "vggnet",
    "sce",
    "gce",
    "co-teaching",
    "elr",
    "ltnet",
    "proposed",
)


def run(flags):
    profile = dataclasses.replace(
        FACE_PROFILES[flags.profile],
        train_size=None,
        test_size=None,
        validation_size=flags.validation_size,
        image_size=flags.image_size,
        epochs=flags.epochs,
    )
    comparison = Comparison(
        pathlib.Path(flags.output_dir),
        "csv",
        profile,
        table_options(flags),
        table_identity(flags),
    )
    rows = method_rows(SETTING, "csv")
    failed = run_comparison(comparison, flags, rows)
    folder = comparison.folder
    summary = summarise(folder, rows)
    metrics = list(dict.fromkeys(summary["metric"]))
    write_report(
        folder,
        "methods",
        *((metric_title(m), methods_table(summary, m)) for m in metrics),
    )
    test = test_images(comparison, flags)
    for task in test.tasks:
        for metric in (f"{task.name}_accuracy", f"{task.name}_ccc"):
            if metric in metrics:
                write_curves(folder, SETTING, metric)
    write_predictions(folder, SETTING, test, flags.seeds[0])
    raise_failed(comparison, failed)


def main(arguments=None):
    rows = method_rows(SETTING, "csv")
    parser = comparison_parser(
        __doc__, methods=[row.cell.method for row in rows]
    )
    count = number_flag(int, minimum=1)
    add = parser.add_argument
    add("--epochs", type=count, default=24, help="number of epochs")
    add(
        "--validation-size",
        type=count,
        default=500,
        help="so many training images are held out, to choose an epoch by "
        "their noisy labels",
    )
    add(
        "--image-size",
        type=int,
        choices=IMAGE_SIZES,
        default=32,
        help="height and width that images are scaled to",
    )
    add_table_flags(parser)
    parser.set_defaults(methods=METHODS, output_dir="runs/compare_your_csv")
    flags = parser.parse_args(arguments)
    warmup = FACE_PROFILES[flags.profile].warmup_epochs
    if flags.epochs <= warmup:
        parser.error(
            f"--epochs must be above {warmup}, the epochs before the joint "
            f"loss begins. Received: {flags.epochs}"
        )
    run_recipe(run, flags)


if __name__ == "__main__":
    main()
