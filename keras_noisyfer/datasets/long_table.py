"""The long table, one row a value, that `LabelledImages` are made of."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Tasks

# Bounds the memory that a draw takes.
IMAGES_AT_ONCE = 100_000


def from_long(
    table: pd.DataFrame,
    images: Any,
    tasks: Tasks,
    report: ImportReport,
    annotators: Mapping[str, Sequence[str]] | None = None,
    truths: Collection[str] = (),
    *,
    max_annotators: int | None = None,
    streams: int = 3,
    seed: int = 0,
) -> LabelledImages:
    """Makes `LabelledImages` of a long table.

    Args:
        table: `pandas.DataFrame` with one row a value: `image`, the index of
            the image; `task`, its name; `dimension`, its index, 0 for a
            categorical task; `annotator`, a name; `value`, the class id or
            the number; and `clean`, whether it counts as the truth.
        images: `ImageFiles`, `ImageRecords` or `ImageArray`.
        tasks: Sequence of tasks; their number of annotators is replaced.
        report: `ImportReport`.
        annotators: Dict by task name of the names of the streams, in their
            order. By default those who have a label, sorted.
        truths: Names of the tasks that have clean labels in any case, those
            of all images missing if there are none.
        max_annotators: See `crowd_streams`, as the following ones.
        streams: Integer.
        seed: Integer.

    Returns:
        A `LabelledImages`.

    Raises:
        ValueError: if a task has no label.
    """
    kept, labels, clean, known = [], {}, {}, {}
    for task in tasks:
        own = table[table["task"] == task.name]
        given, truth = own[~own["clean"]], own[own["clean"]]
        if given.empty:
            raise ValueError(
                f"Task '{task.name}' must have a label of an accepted image "
                "in the table. Received: none"
            )
        if annotators is None:
            who = sorted(given["annotator"].unique())
        else:
            who = list(annotators[task.name])
        # The values of a label go to one stream.
        label, index = np.unique(
            given["image"].to_numpy("int64") * len(who)
            + pd.Index(who).get_indexer(given["annotator"]),
            return_inverse=True,
        )
        image, annotator = np.divmod(label, len(who))
        limit = len(who) if max_annotators is None else max_annotators
        stream, count = crowd_streams(
            images.names, image, who, annotator, limit, streams, seed
        )
        array = _empty(task, len(images.names), count)
        value = given[stream[index] >= 0]
        place = stream[index][stream[index] >= 0]
        array[value["image"], place, value["dimension"]] = value["value"]
        labels[task.name] = _as_labels(task, array)
        kept.append(task.with_annotators(count))
        if len(who) <= limit:
            known[task.name] = who
        else:
            note = f"annotators of {task.name}, now {count} streams"
            report.notes[note] = len(who)
            note = f"labels of {task.name} beyond {count} an image, left out"
            report.notes[note] = int((stream < 0).sum())
        if len(truth) or task.name in truths:
            array = _empty(task, len(images.names))
            array[truth["image"], truth["dimension"]] = truth["value"]
            clean[task.name] = _as_labels(task, array)
    return LabelledImages(
        images, labels, kept, clean, report=report, annotators=known
    )


def _empty(task, *shape):
    width = len(getattr(task, "dimensions", "1"))
    return np.full((*shape, width), np.nan, "float32")


def _as_labels(task, values):
    """In the data contract: ids with -1, or values with NaN."""
    if isinstance(task, CategoricalTask):
        return np.nan_to_num(values[..., 0], nan=-1).astype("int32")
    return values


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
    resampled ones: an image's labels are put in a random order and go to the
    streams, at most one a stream, so that each stream is the label of a
    random annotator. An image with fewer labels leaves streams without one,
    chosen at random, so that all streams are about equally full. What is
    lost: who gave a label, hence what is particular to one annotator, such
    as a bias towards a class; and an image's labels beyond `streams`.

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
    annotator_hash = _hash(annotator_names, seed)
    stream = np.full(len(images), -1, "int32")
    for begin in range(0, len(image_names), IMAGES_AT_ONCE):
        names = image_names[begin : begin + IMAGES_AT_ONCE]
        place = images - begin
        own = np.flatnonzero((place >= 0) & (place < len(names)))
        stream[own] = _draw(
            _hash(names, seed),
            place[own],
            annotator_hash[annotators[own]],
            streams,
        )
    return stream, streams


def _draw(image_hash, images, annotator_hash, streams):
    # Hashes instead of a generator, whose draws would follow the row order.
    order = pd.util.hash_array(image_hash[images] ^ annotator_hash)
    rank = _rank(images, order)
    draws = image_hash[:, None] + np.arange(streams, dtype="uint64")
    draws = pd.util.hash_array(draws.ravel()).reshape(draws.shape)
    slots = np.argsort(draws, axis=1)
    kept = rank < streams
    stream = np.full(len(images), -1, "int32")
    stream[kept] = slots[images[kept], rank[kept]]
    return stream


def _hash(names, seed):
    key = hashlib.sha256(str(seed).encode()).hexdigest()[:16]
    return pd.util.hash_array(
        np.array(names, dtype=object), hash_key=key, categorize=False
    )


def _rank(images, order):
    """The place of each label among those of its image."""
    by_image = np.lexsort((order, images))
    position = np.arange(len(images))
    begins = np.diff(images[by_image], prepend=-1) != 0
    start = np.maximum.accumulate(np.where(begins, position, 0))
    rank = np.empty(len(images), int)
    rank[by_image] = position - start
    return rank
