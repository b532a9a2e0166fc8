"""The flags that name images and labels; nothing here imports TensorFlow."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from noisyfer.flags import (
    IMAGE_SIZES,
    flag_name,
    number_flag,
    refuse_given,
)

# Of a table alone; the first are pairs.
PAIR_FLAGS = (
    "categorical",
    "continuous",
    "clean",
    "classes",
    "where",
    "test_where",
)
TABLE_FLAGS = (
    *PAIR_FLAGS,
    "image_dir",
    "test_csv",
    "test_image_dir",
    "image_column",
    "on_error",
)


def add_data_flags(
    parser: argparse.ArgumentParser, image_size: int, written: Sequence[str]
) -> None:
    """Adds the flags that `noisyfer.data.load_data` reads; `written` are the
    tables that the command writes to `--out`."""
    add = parser.add_argument
    several: dict[str, Any] = {"action": "append", "type": _pair, "default": []}
    add(
        "csv",
        nargs="?",
        metavar="LABELS.csv",
        help="a table with the columns `image`, the path of an image in the "
        "folder, and TASK or TASK.ANNOTATOR, its label by an annotator; "
        "`valence` and `arousal` are the continuous task `affect`, and "
        "clean.TASK counts as the truth. Or one label a row: `image`, "
        "`annotator`, `task` and `value`. The flags below are for others",
    )
    add("--image-dir", metavar="DIR", help="the folder of its images")
    add("--data", metavar="NAME", help="a data set of `noisyfer list` instead")
    add("--data-dir", metavar="PATH", help="where the files of --data are")
    add(
        "--data-option",
        **several,
        metavar="NAME=VALUE",
        help="what else the loader of --data takes, such as "
        "machine=NAME; may be repeated, as all that follow",
    )
    add("--test-csv", metavar="FILE", help="clean labels of test images")
    add("--test-image-dir", metavar="DIR", help="folder of test images")
    add("--image-column", default="image", metavar="COLUMN", help="of paths")
    for name, metavar, text in (
        ("categorical", "TASK=COLUMN,COLUMN", "a task, a column an annotator"),
        (
            "continuous",
            "TASK=COLUMN+COLUMN,COLUMN+COLUMN",
            "a continuous task: its dimensions' columns, for each annotator",
        ),
        (
            "clean",
            "TASK=COLUMN",
            "labels that count as the truth; those of a continuous task "
            "COLUMN+COLUMN",
        ),
        (
            "classes",
            "TASK=NAME,NAME",
            "the classes of a task in their order, so that others are errors; "
            "by default those that are there",
        ),
        ("where", "COLUMN=TEXT", "train on these rows, such as split=train"),
        ("test-where", "COLUMN=TEXT", "test on these rows"),
    ):
        add(f"--{name}", **several, metavar=metavar, help=text)
    add(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="stop at the first bad row, or leave it out and count it",
    )
    count = number_flag(int, minimum=0)
    add(
        "--train-size",
        type=count,
        default=0,
        help="so many of the images, drawn at random; 0: all",
    )
    add(
        "--image-size",
        type=int,
        choices=IMAGE_SIZES,
        default=image_size,
        help="height and width that images are scaled to",
    )

    def check(flags):
        if (flags.data is None) == (flags.csv is None):
            parser.error("give either LABELS.csv and --image-dir, or --data")
        if flags.csv is not None and flags.image_dir is None:
            parser.error("LABELS.csv needs --image-dir, the folder of images")
        if flags.csv is None:
            refuse_given(parser, flags, TABLE_FLAGS, "with --data")
        else:
            names = ("data_dir", "data_option")
            refuse_given(parser, flags, names, "without --data")
            if flags.test_csv is None:
                names = ("test_image_dir",)
                refuse_given(parser, flags, names, "without --test-csv")
        for flag in ("data_option", *PAIR_FLAGS):
            names = [name for name, _ in getattr(flags, flag)]
            if len(set(names)) < len(names):
                parser.error(
                    f"{flag_name(flag)} must be given once for each name. "
                    f"Received: {', '.join(names)}"
                )
        for path in (flags.csv, flags.test_csv):
            if path and os.path.realpath(path) in {
                os.path.realpath(os.path.join(flags.out, name))
                for name in written
            }:
                parser.error(
                    "--out must be another folder than that of a table which "
                    f"it would replace. Received: {flags.out}"
                )
        warmup = getattr(flags, "warmup_epochs", None) or 0
        if warmup >= flags.epochs:
            parser.error(
                "--warmup-epochs must be less than --epochs. "
                f"Received: {warmup} of {flags.epochs}"
            )

    parser.set_defaults(check=check)


def _pair(text):
    """`NAME=VALUE` of a flag."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise ValueError
    return name, value


_pair.__name__ = "NAME=VALUE"
