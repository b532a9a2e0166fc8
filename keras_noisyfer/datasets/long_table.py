"""The long table, one row a value, that every source of labels parses into."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.datasets.exchange import CLEAN
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import ArrayLike, Tasks


def from_long(
    table: pd.DataFrame,
    images: Any,
    tasks: Tasks,
    report: ImportReport,
    annotators: Mapping[str, Sequence[str]] | None = None,
    truths: Collection[str] = (),
    unlabelled: Collection[str] = (),
    *,
    max_annotators: int | None = None,
    streams: int = 3,
    seed: int = 0,
    **more: Any,
) -> LabelledImages:
    """Makes `LabelledImages` of a long table.

    Args:
        table: `pandas.DataFrame` with one row a value: `image`, the index of
            the image; `task`, its name; `annotator`, a name; `value`, the
            class id or the number, NaN or -1 where missing; and where needed
            `dimension`, its index in a continuous task, and `clean`, whether
            it counts as the truth. No two rows are of one value.
        images: `ImageFiles` or `ImageArray`.
        tasks: Sequence of tasks; their number of annotators is replaced.
        report: `ImportReport`.
        annotators: Dict by task name of the names of the streams, in their
            order. By default those who have a label, sorted.
        truths: Names of the tasks that have clean labels in any case.
        unlabelled: Names of the tasks that may have no label; `annotators`
            names their streams.
        max_annotators: See `crowd_streams`, as `streams` and `seed`.
        **more: Further arguments of `LabelledImages`.

    Raises:
        ValueError: if a task has no label, or a value is out of its range.
    """
    table = pd.DataFrame({"dimension": 0, "clean": False} | dict(table))
    kept, labels, clean, known = [], {}, {}, {}
    for task in tasks:
        own = table[(table["task"] == task.name) & table["value"].notna()]
        given, truth = own[~own["clean"]], own[own["clean"]]
        if given.empty and task.name not in unlabelled:
            raise ValueError(
                f"Task '{task.name}' must have a label of an accepted image "
                "in the table. Received: none"
            )
        # In the order of the categories, where the names have one.
        who = given["annotator"].drop_duplicates().sort_values().to_list()
        if annotators is not None:
            who = list(annotators[task.name])
        # The values of a label go to one stream.
        who_index = pd.Index(who).get_indexer(given["annotator"])
        label = given["image"].to_numpy("int64") * len(who) + who_index
        label, index = np.unique(label, return_inverse=True)
        image, annotator = np.divmod(label, len(who))
        limit = len(who) if max_annotators is None else max_annotators
        stream, count = crowd_streams(
            images.names, image, who, annotator, limit, streams, seed
        )
        value = given[stream[index] >= 0]
        place = stream[index][stream[index] >= 0]
        labels[task.name] = _array(task, value, images.names, count, place)
        kept.append(task.with_annotators(count))
        if len(who) <= limit:
            known[task.name] = who
        else:
            note = f"annotators of {task.name}, now {count} streams"
            report.notes[note] = len(who)
            note = f"labels of {task.name} beyond {count} an image, left out"
            report.notes[note] = int((stream < 0).sum())
        if len(truth) or task.name in truths:
            clean[task.name] = _array(task, truth, images.names)[:, 0]
    return LabelledImages(
        images, labels, kept, clean, report=report, annotators=known, **more
    )


def _array(task, values, names, streams=1, place=0):
    """Labels in the data contract: ids with -1, or values with NaN."""
    width = len(getattr(task, "dimensions", "1"))
    array = np.full((len(names), streams, width), np.nan, "float32")
    array[values["image"], place, values["dimension"]] = values["value"]
    if isinstance(task, CategoricalTask):
        return np.nan_to_num(array[..., 0], nan=-1).astype("int32")
    return array


def long_labels(
    task: str, labels: pd.DataFrame, clean: ArrayLike
) -> pd.DataFrame:
    """The long table of class ids with a row an image and a column an
    annotator, -1 where missing, and of those that count as the truth."""
    table = labels.assign(**{CLEAN: clean}).reset_index(drop=True)
    table = table.rename_axis("image").melt(
        var_name="annotator", ignore_index=False
    )
    table = table[table["value"] >= 0].reset_index()
    return table.assign(task=task, clean=table["annotator"] == CLEAN)


def crowd_streams(
    image_names: Sequence[str],
    images: np.ndarray,
    annotator_names: Sequence[str],
    annotators: np.ndarray,
    max_annotators: int = 5,
    streams: int = 3,
    seed: int = 0,
) -> tuple[np.ndarray, int]:
    """Decides which label stream each label of a task goes to.

    With at most `max_annotators` annotators there is one stream an
    annotator, and nothing is lost.

    With more, most streams would be nearly empty. There are then `streams`
    resampled ones: an image's labels go to them in a random order, at most
    one a stream; an image with fewer labels leaves random streams without
    one. What is lost: who gave a label, hence what is particular to one
    annotator, such as a bias towards a class; and labels beyond `streams`.

    The draw for an image depends on `seed`, the image's name and its
    annotators' names alone: neither on the order of the table nor on the
    other images.

    `images` and `annotators` are integer arrays of shape `(labels,)`, indices
    into the names: at most one label an image and annotator.

    Returns:
        `(stream, count)`: integer array of shape `(labels,)`, the stream of
        each label, -1 where it is left out; and the number of streams.

    Example:

    >>> crowd_streams(["a.jpg"], [0, 0], ["ann", "bob"], [0, 1])
    (array([0, 1]), 2)
    """
    images, annotators = np.asarray(images), np.asarray(annotators)
    if len(annotator_names) <= max_annotators:
        return annotators, len(annotator_names)
    # Hashes instead of a generator, whose draws would follow the row order.
    image_hash = _hash(image_names, seed)
    given = image_hash[images] ^ _hash(annotator_names, seed)[annotators]
    label_hash = pd.util.hash_array(given)
    order = np.argsort(label_hash, kind="stable")
    # The place of each label among those of its image.
    rank = np.empty(len(images), int)
    rank[order] = pd.Series(order).groupby(images[order]).cumcount()
    draws = image_hash[:, None] + np.arange(streams, dtype="uint64")
    draws = pd.util.hash_array(draws.ravel()).reshape(draws.shape)
    kept = rank < streams
    stream = np.full(len(images), -1, "int32")
    stream[kept] = np.argsort(draws, axis=1)[images[kept], rank[kept]]
    return stream, streams


def _hash(names, seed):
    key = hashlib.sha256(str(seed).encode()).hexdigest()[:16]
    return pd.util.hash_array(
        np.array(names, dtype=object), hash_key=key, categorize=False
    )
