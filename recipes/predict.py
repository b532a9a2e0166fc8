"""Predicts the labels of images, or of the faces in photographs.

Prints a table, or writes CSV or JSON lines with all probabilities. The model
for real faces, which is there without `--model`, takes photographs and looks
for their faces (`--no-detect` for images that are faces); any other exported
model takes images as they are (`--detect` for photographs).
"""

import argparse
import contextlib
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

from keras_noisyfer.arguments import number_flag, one_line
from keras_noisyfer.command_line.training import recipe_parser, run_recipe
from keras_noisyfer.datasets.image_files import (
    READABLE_EXTENSIONS,
    list_images,
    read_rgb,
)
from keras_noisyfer.files import spreadsheet_cell
from keras_noisyfer.results import format_table
from keras_noisyfer.serving.photographs import find_faces, plot_faces
from keras_noisyfer.serving.predictor import Predictor

SAVED_MODELS = pathlib.Path(__file__).resolve().parents[1] / "saved_models"
WRITTEN = (".csv", ".jsonl")


def run(flags):
    paths = list_paths(flags.images)
    if flags.output and not flags.output.endswith(WRITTEN):
        raise ValueError(
            f"--output must end with {' or '.join(WRITTEN)}. "
            f"Received: {flags.output}"
        )
    if flags.figure and len(paths) > 1:
        raise ValueError(
            f"--figure must be of one photograph. Received: {len(paths)} images"
        )
    detect = flags.model is None if flags.detect is None else flags.detect
    if flags.figure and not detect:
        raise ValueError("--figure must be with --detect. Received: neither")
    predictor = Predictor(flags.model or SAVED_MODELS / "ferplus")
    finder = find_faces if detect else None
    rows, shown, done, failed = [], [], 0, 0
    with contextlib.ExitStack() as stack:
        keep = rows.append
        if flags.output:
            keep = stack.enter_context(row_writer(flags.output))
        progress = tqdm.tqdm(
            predictor.rows(paths, flags.batch_size, finder),
            total=None if detect else len(paths),
            unit="face" if detect else "image",
            disable=None if len(paths) > flags.batch_size else True,
        )
        for row in progress:
            if "error" in row:
                message = f"{one_line(row['image'])}: {row['error']}"
                progress.write(message, file=sys.stderr)
                failed += 1
            else:
                keep(row)
                done += 1
                if flags.figure:
                    shown.append(row)
    if flags.figure and done:
        photograph = read_rgb(paths[0], convert=True)
        figure = plot_faces(photograph, shown, predictor.tasks)
        figure.savefig(flags.figure, dpi=100)
        print(f"Figure: {flags.figure}")
    if flags.output:
        print(f"{done:,} predictions: {flags.output}")
    elif rows:
        print(format_table([shorten(row, predictor.tasks) for row in rows]))
    if failed:
        reason = "were not read" + (", or show no face" if detect else "")
        raise ValueError(f"{failed:,} of {len(paths):,} images {reason}")


def list_paths(given):
    """Paths of images, folders being replaced by the images in them."""
    paths = []
    for path in given:
        found = [path]
        if os.path.isdir(path):
            names = list_images(path, READABLE_EXTENSIONS)
            found = [os.path.join(path, name) for name in names]
            if not found:
                raise ValueError(f"There is no image in the folder {path}")
        elif not os.path.exists(path):
            raise ValueError(f"There is no image {path}")
        paths += found
    return paths


def shorten(row, tasks):
    """What a table has room for: where a face is, the most probable class,
    with its probability, and the values."""
    short = {"image": one_line(row["image"])}
    short |= {side: row[side] for side in ("left", "top") if side in row}
    for task, names in tasks.items():
        if "classes" in names:
            short[task] = row[task]
            short[f"{task}_probability"] = row[f"{task}_{row[task]}"]
        else:
            for name in names["dimensions"]:
                short[f"{task}_{name}"] = row[f"{task}_{name}"]
    return short


@contextlib.contextmanager
def row_writer(path):
    """A function that adds a row to a file, which is kept if the rest fails.

    Raises:
        ValueError: if the file cannot be written.
    """
    try:
        file = open(path, "w", encoding="utf-8", newline="")
    except OSError as error:
        raise ValueError(
            f"--output must be a file that can be written ({error.strerror}). "
            f"Received: {path}"
        ) from error
    with file:
        writer = None

        def write(row):
            nonlocal writer
            if path.endswith(".jsonl"):
                file.write(json.dumps(row) + "\n")
                return
            if writer is None:
                writer = csv.DictWriter(file, row)
                writer.writeheader()
            # JSON lines are for programs: they have the cells as they are.
            writer.writerow(
                {name: spreadsheet_cell(cell) for name, cell in row.items()}
            )

        yield write


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    parser.usage = "%(prog)s [flags] IMAGE_OR_FOLDER ..."
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE_OR_FOLDER", help="what to look at")
    add(
        "--model",
        metavar="FOLDER",
        help="an exported model; by default that for real faces",
    )
    add(
        "--detect",
        action=argparse.BooleanOptionalAction,
        help="whether to predict for the faces in photographs",
    )
    add(
        "--figure",
        metavar="FILE",
        help="also draw the photograph with its faces, such as faces.png",
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
