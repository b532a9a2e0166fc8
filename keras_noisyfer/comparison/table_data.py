"""A CSV file of one's own as text describes it: flags, or a TOML file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_noisyfer.datasets.exchange import CLEAN
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.table import from_csv
from keras_noisyfer.datasets.table_cells import (
    check_header,
    choose_rows,
    read_csv,
    texts,
)
from keras_noisyfer.datasets.table_columns import KEYS, parse_columns
from keras_noisyfer.datasets.table_tasks import (
    infer_columns,
    infer_tasks,
    tell_inferred,
)
from keras_noisyfer.tasks import CategoricalTask

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
        `(train, test)`: `LabelledImages`; the test ones with clean labels
        alone, beside which their table needs no others: those of columns or
        of an annotator that count as the truth, or else of a task's one
        annotator. None where no test is named.

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
    classes = {
        task: [name.strip() for name in names.split(",")]
        for task, names in options["classes"]
    }
    table = read_csv(options["csv"])
    ignored = [*where, *test_where]
    tasks, told = infer_tasks(table, columns, ignored, classes)
    train = from_csv(
        table,
        options["image_root"],
        tasks,
        told,
        where=where,
        on_error=options["on_error"],
        seed=seed,
    )
    tell_inferred(tasks, train.report)
    if not options["test_csv"] and not test_where:
        return train, None
    if options["test_csv"]:
        table = read_csv(options["test_csv"])
        if columns is None:
            names = [task.name for task in tasks]
            told = infer_columns(table, ignored, names)
    table = choose_rows(table, test_where, table.attrs["csv"])
    root = options["test_image_root"] or options["image_root"]
    test = _load_test(
        table,
        root,
        tasks,
        told,
        options["on_error"],
        trusted=bool(options["test_csv"]),
    )
    roots = options["image_root"], root
    if len({os.path.realpath(each) for each in roots}) == 1:
        both = sorted(set(train.names) & set(test.names))
        if both:
            raise ValueError(
                "Test images must not be trained on; --where and "
                "--test-where tell them apart. Received: "
                f"{len(both)} image(s) in both, such as {both[0]}"
            )
    return train, test


def _load_test(table, root, tasks, columns, on_error, trusted):
    """Test images with their clean labels, which need no others beside them;
    of a task without any, those of its one annotator count. In a table that is
    `trusted` these are the truth, where it tells none."""
    columns = dict(columns)
    clean = columns.pop("clean", {})
    if "value" in columns:
        check_header(columns.values(), table, table.attrs["csv"])
        fields = parse_columns(columns, tasks).fields
        what = texts(table[columns["task"]])
        is_clean = texts(table[columns["annotator"]]) == (clean or CLEAN)
        table = table[is_clean | ~what.isin(what[is_clean])]
        of = {text: task for text, task, *_ in fields}
        there, truths = (set(each.map(of)) for each in (what, what[is_clean]))
    else:
        columns |= clean
        there, truths = set(columns), set(clean)
    known = [task for task in tasks if task.name in there]
    test = None
    if known:
        test = from_csv(table, root, known, columns, on_error=on_error)
        test = test.clean_labels()
    if test is None or not test.labelled_tasks:
        raise ValueError(
            f"{table.attrs['csv']} must have clean labels of "
            f"{' or '.join(task.name for task in tasks)} for the test: called "
            "clean.TASK, or of one annotator. Received: none"
        )
    if trusted and not truths:
        truths = {task.name for task in test.labelled_tasks}
    labels = {task.name: _no_labels(task, len(test)) for task in tasks}
    labels |= test.labels
    return LabelledImages(
        test.images,
        labels,
        [task.with_annotators(1) for task in tasks],
        {n: each[:, 0] for n, each in labels.items() if n in truths},
        report=test.report,
        annotators=test.annotators,
    )


def _no_labels(task, count):
    if isinstance(task, CategoricalTask):
        return np.full((count, 1), -1)
    return np.full((count, 1, len(task.dimensions)), np.nan)
