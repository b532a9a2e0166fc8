"""A CSV file of one's own as text describes it: flags, or a TOML file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
        options: Dict with the keys of `_DEFAULTS`, of which `csv` and
            `image_root` must be there; those of several entries are
            sequences of pairs, see `columns_of_flags`.
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
    roots = options["image_root"], options["test_image_root"]
    if len({os.path.realpath(each) for each in roots if each}) == 1:
        both = sorted(set(train.names) & set(test.names))
        if both:
            raise ValueError(
                "Test images must not be trained on; --where and "
                "--test-where tell them apart. Received: "
                f"{len(both)} image(s) in both, such as {both[0]}"
            )
    return train, test.clean_labels()
