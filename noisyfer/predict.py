"""`noisyfer predict`: labels of images, or of the faces in photographs."""

import contextlib
import csv
import json
import os
import pathlib
import sys

import tqdm
from matplotlib.backend_bases import FigureCanvasBase

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.image_files import (
    READABLE_EXTENSIONS,
    list_images,
)
from keras_noisyfer.files import spreadsheet_cell
from keras_noisyfer.results import format_table
from keras_noisyfer.serving.photographs import find_faces, plot_faces
from keras_noisyfer.serving.predictor import Predictor
from noisyfer.flags import UsageError, choose_model, naming_flags

WRITTEN = (".csv", ".jsonl")


def run(flags):
    paths = list_paths(flags.images)
    if flags.out and not flags.out.endswith(WRITTEN):
        raise UsageError(
            f"--out must end with {' or '.join(WRITTEN)}. Received: {flags.out}"
        )
    model, detect = choose_model(flags)
    if flags.figure and (not detect or len(paths) > 1):
        raise UsageError(
            "--figure must be of the faces in one photograph. Received: "
            f"{len(paths)} images, with{'' if detect else 'out'} --detect"
        )
    if flags.figure:
        check_figure(flags.figure, paths[0])
    with naming_flags(path="--model"):
        predictor = Predictor(model)
    rows, shown, done, failed = [], [], 0, 0
    photographs = []

    def finder(image):
        if flags.figure:
            photographs.append(image)
        return find_faces(image)

    with contextlib.ExitStack() as stack:
        keep = rows.append
        if flags.out:
            keep = stack.enter_context(row_writer(flags.out))
        progress = tqdm.tqdm(
            predictor.rows(paths, flags.batch_size, finder if detect else None),
            total=None if detect else len(paths),
            unit="face" if detect else "image",
            disable=None if len(paths) > flags.batch_size else True,
        )
        for row in progress:
            if "error" in row:
                reason = row["error"]
                if os.path.isdir(row["image"]):
                    reason = "there is no image in the folder"
                message = f"{one_line(row['image'])}: {reason}"
                progress.write(message, file=sys.stderr)
                failed += 1
            else:
                keep(row)
                done += 1
                if flags.figure:
                    shown.append(row)
    if flags.out:
        kept = "" if done else "nothing was written to "
        print(f"{done:,} predictions: {kept}{flags.out}")
    elif rows:
        print(format_table([shorten(row, predictor.tasks) for row in rows]))
    if shown:
        figure = plot_faces(photographs[0], shown, predictor.tasks)
        figure.savefig(flags.figure, dpi=100)
        print(f"Figure: {flags.figure}")
    if failed:
        reason = "were not read" + (", or show no face" if detect else "")
        raise ValueError(f"{failed:,} of {len(paths):,} images {reason}")


def check_figure(figure, photograph):
    """Raises `UsageError` if a figure cannot be written there."""
    figure, photograph = pathlib.Path(figure), pathlib.Path(photograph)
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if figure.suffix[1:].lower() not in known:
        raise UsageError(
            f"--figure must end with one of .{', .'.join(known)}. "
            f"Received: {figure}"
        )
    if not figure.parent.is_dir():
        raise UsageError(
            f"--figure must be in a folder that exists. Received: {figure}"
        )
    both = figure.exists() and photograph.exists()
    if both and figure.samefile(photograph):
        raise UsageError(
            f"--figure must not be the photograph itself. Received: {figure}"
        )


def list_paths(given):
    """Paths of images, folders being replaced by the images in them if there
    are any; what else is in them is told on stderr."""
    paths = []
    for path in given:
        found = []
        if os.path.isdir(path):
            names = list_images(path, [""])
            found = [
                os.path.join(path, name)
                for name in names
                if name.lower().endswith(READABLE_EXTENSIONS)
            ]
            others = len(names) - len(found)
            if found and others:
                print(
                    f"{one_line(path)}: {others:,} other files left out",
                    file=sys.stderr,
                )
        paths += found or [path]
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
    """A function that adds a row to a file, which is kept if the rest fails;
    what was there stays until the first row.

    Raises:
        ValueError: if the file cannot be written.
    """
    try:
        # A file name of other bytes is told, and does not end the rest.
        file = open(
            path, "a", encoding="utf-8", errors="backslashreplace", newline=""
        )
    except OSError as error:
        raise ValueError(
            f"--out must be a file that can be written ({error.strerror}). "
            f"Received: {path}"
        ) from error
    with file:
        writer = None

        def write(row):
            nonlocal writer
            is_json = path.endswith(".jsonl")
            if writer is None:
                file.truncate(0)
                writer = csv.DictWriter(file, row)
                if not is_json:
                    writer.writeheader()
            if is_json:
                file.write(json.dumps(row) + "\n")
                return
            # JSON lines are for programs: they have the cells as they are.
            writer.writerow(
                {name: spreadsheet_cell(cell) for name, cell in row.items()}
            )

        yield write
