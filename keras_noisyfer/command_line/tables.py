"""The flags that say which CSV file and images to train on, and their data."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keras_noisyfer.datasets.report import ON_ERROR
from keras_noisyfer.datasets.table import from_csv
from keras_noisyfer.datasets.table_tasks import (
    columns_of_flags,
    infer_tasks,
)

if TYPE_CHECKING:
    from keras_noisyfer.datasets.labelled_images import LabelledImages

_PATHS = ("csv", "image_root", "test_csv", "test_image_root")
_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(_PATHS),
    "image_column": "image",
    "categorical": (),
    "continuous": (),
    "clean": (),
    "classes": (),
    "where": (),
    "test_where": (),
    "on_error": "raise",
}


def add_table_flags(
    parser: argparse.ArgumentParser, required: bool = True
) -> None:
    """Adds the flags to an `argparse` parser; `required` tells whether the
    data has to be named."""
    add = parser.add_argument
    add("--csv", required=required, metavar="FILE", help="labels")
    add(
        "--image-root",
        required=required,
        metavar="DIR",
        help="folder of images",
    )
    add("--test-csv", metavar="FILE", help="labels of test images")
    add("--test-image-root", metavar="DIR", help="folder of test images")
    add("--image-column", default="image", metavar="COLUMN")
    several: dict[str, Any] = {"action": "append", "type": _pair, "default": []}
    add(
        "--categorical",
        **several,
        metavar="TASK=COLUMN,COLUMN",
        help="a categorical task, a column an annotator; may be repeated",
    )
    add(
        "--continuous",
        **several,
        metavar="TASK=COLUMN+COLUMN,COLUMN+COLUMN",
        help="a continuous task: its dimensions' columns, for each annotator",
    )
    add(
        "--clean",
        **several,
        metavar="TASK=COLUMN",
        help="labels that count as the truth; those of a continuous task "
        "COLUMN+COLUMN",
    )
    add(
        "--classes",
        **several,
        metavar="TASK=NAME,NAME",
        help="the classes of a categorical task, in their order",
    )
    add(
        "--where",
        **several,
        metavar="COLUMN=TEXT",
        help="train on the rows that hold it, such as split=train",
    )
    add(
        "--test-where",
        **several,
        metavar="COLUMN=TEXT",
        help="test on the rows that hold it",
    )
    add("--on-error", choices=ON_ERROR, default="raise", help="bad rows")


def table_options(flags: argparse.Namespace) -> dict[str, Any]:
    """The options of `load_table_data` in parsed flags, a dict."""
    return {name: getattr(flags, name) for name in _DEFAULTS}


def load_table_data(
    options: Mapping[str, Any], seed: int = 0
) -> tuple[LabelledImages, LabelledImages | None]:
    """Loads the images and labels that flags have named.

    Args:
        options: Dict, see `table_options`; what is left out is as the flags
            have it by default.
        seed: See `from_csv`.

    Returns:
        `(train, test)`: `LabelledImages`; the test ones with clean labels,
        None where no test is named.

    Raises:
        ValueError: if an image is in both, or see `infer_tasks` and
            `from_csv`.
    """
    options = {**_DEFAULTS, **options}
    columns = columns_of_flags(
        options["image_column"],
        options["categorical"],
        options["continuous"],
        options["clean"],
    )
    where, test_where = dict(options["where"]), dict(options["test_where"])
    classes = {task: names.split(",") for task, names in options["classes"]}
    tasks, columns = infer_tasks(
        options["csv"], columns, [*where, *test_where], classes
    )
    train = from_csv(
        options["csv"],
        options["image_root"],
        tasks,
        columns,
        where=where,
        on_error=options["on_error"],
        seed=seed,
    )
    if not options["test_csv"] and not test_where:
        return train, None
    test = from_csv(
        options["test_csv"] or options["csv"],
        options["test_image_root"] or options["image_root"],
        tasks,
        columns,
        where=test_where,
        on_error=options["on_error"],
    )
    if options["test_image_root"] in (None, options["image_root"]):
        both = sorted(set(train.names) & set(test.names))
        if both:
            raise ValueError(
                "Test images must not be trained on; --where and "
                "--test-where tell them apart. Received: "
                f"{len(both)} image(s) in both, such as {both[0]}"
            )
    return train, test.clean_labels()


def _pair(text):
    """`NAME=VALUE` of a flag."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise ValueError
    return name, value


# What argparse calls it in its message.
_pair.__name__ = "NAME=VALUE"
