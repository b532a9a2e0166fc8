"""Predicts the labels of images with an exported model.

Prints a table, or writes CSV or JSON lines with all probabilities.
"""

import csv
import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import tqdm

from keras_noisyfer.arguments import number_flag
from keras_noisyfer.datasets.conversion import list_convertible
from keras_noisyfer.evaluation.results import format_table
from keras_noisyfer.evaluation.training_run import recipe_parser, run_recipe
from keras_noisyfer.serving.predictor import Predictor

SAVED_MODELS = pathlib.Path(__file__).resolve().parents[1] / "saved_models"
WRITTEN = (".csv", ".jsonl")


def run(flags):
    paths = list_paths(flags.images)
    ending = flags.output and pathlib.Path(flags.output).suffix
    if ending and ending not in WRITTEN:
        raise ValueError(
            f"--output must end with {' or '.join(WRITTEN)}. "
            f"Received: {flags.output}"
        )
    predictor = Predictor(flags.model)
    progress = tqdm.tqdm(
        predictor.rows(paths, flags.batch_size),
        total=len(paths),
        unit="image",
        disable=None if len(paths) > flags.batch_size else True,
    )
    rows, failed = [], 0
    for row in progress:
        if "error" in row:
            progress.write(f"{row['image']}: {row['error']}", file=sys.stderr)
            failed += 1
        else:
            rows.append(row)
    if rows and flags.output:
        write_rows(flags.output, rows)
        print(f"{len(rows):,} predictions: {flags.output}")
    elif rows:
        print(format_table([shorten(row, predictor.tasks) for row in rows]))
    if failed:
        raise ValueError(f"{failed:,} of {len(paths):,} images were not read")


def list_paths(given):
    """Paths of images, folders being replaced by the images in them."""
    paths = []
    for path in given:
        found = [path]
        if os.path.isdir(path):
            found = [
                os.path.join(path, name) for name in list_convertible(path)
            ]
            if not found:
                raise ValueError(f"There is no image in the folder {path}")
        elif not os.path.exists(path):
            raise ValueError(f"There is no image {path}")
        paths += found
    return paths


def shorten(row, tasks):
    """What a table has room for: the most probable class, with its
    probability, and the values."""
    short = {"image": row["image"]}
    for task, names in tasks.items():
        if "classes" in names:
            short[task] = row[task]
            short[f"{task}_probability"] = row[f"{task}_{row[task]}"]
        else:
            for name in names["dimensions"]:
                short[f"{task}_{name}"] = row[f"{task}_{name}"]
    return short


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        if path.endswith(".csv"):
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    parser.usage = "%(prog)s [flags] IMAGE_OR_FOLDER ..."
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE_OR_FOLDER", help="what to look at")
    add(
        "--model",
        default=SAVED_MODELS / "quickstart",
        metavar="FOLDER",
        help="an exported model",
    )
    add(
        "--output",
        metavar="FILE",
        help=f"file to write ({' or '.join(WRITTEN)}) in place of the table",
    )
    add("--batch-size", type=number_flag(int, minimum=1), default=64)
    run_recipe(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
