"""The flags that say which CSV file and images to train on, and their data."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_noisyfer.datasets.report import ON_ERROR
from keras_noisyfer.datasets.table import from_csv
from keras_noisyfer.datasets.table_cells import read_csv
from keras_noisyfer.datasets.table_columns import KEYS
from keras_noisyfer.datasets.table_tasks import infer_tasks, tell_inferred

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


def columns_of_flags(
    image: str,
    categorical: Sequence[tuple[str, str]] = (),
    continuous: Sequence[tuple[str, str]] = (),
    clean: Sequence[tuple[str, str]] = (),
) -> dict[str, Any] | None:
    """The argument `columns` of `from_csv` in the wide form, from text.

    `image` is the column of the image's path. `categorical` are pairs
    `(task, "column,column")`, a column an annotator; `continuous`
    `(task, "column+column,column+column")`, for each annotator the columns of
    the dimensions; `clean` `(task, "column")` or `(task, "column+column")`.

    Returns:
        A dict, or None if no task is given.

    Raises:
        ValueError: if a task is given twice, or there are clean labels of one
            that is not given.
    """
    if not categorical and not continuous and image == "image" and not clean:
        return None
    columns: dict[str, Any] = {"image": image}
    named = [task for task, _ in (*categorical, *continuous)]
    if len({*named, *KEYS}) < len(named) + len(KEYS):
        raise ValueError(
            "Each task must be given once, and none be named "
            f"{', '.join(KEYS)}. Received: {', '.join(named)}"
        )
    for task, text in categorical:
        columns[task] = text.split(",")
    for task, text in continuous:
        columns[task] = [tuple(e.split("+")) for e in text.split(",")]
    truths = {
        task: tuple(text.split("+")) if task in dict(continuous) else text
        for task, text in clean
    }
    unknown = sorted(set(truths) - set(columns))
    if unknown or len(columns) == 1:
        raise ValueError(
            "The columns of at least one task must be given, and clean ones "
            f"for given tasks only. Received: {', '.join(unknown) or 'none'}"
        )
    if truths:
        columns["clean"] = truths
    return columns


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
    table = read_csv(options["csv"])
    tasks, columns = infer_tasks(table, columns, [*where, *test_where], classes)
    train = from_csv(
        table,
        options["image_root"],
        tasks,
        columns,
        where=where,
        on_error=options["on_error"],
        seed=seed,
    )
    tell_inferred(tasks, train.report)
    if not options["test_csv"] and not test_where:
        return train, None
    test = from_csv(
        options["test_csv"] or table,
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
