"""Exports of Label Studio: choices, ratings and numbers by several people."""

import functools
import json
import os
import re
import urllib.parse
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.table import from_dataframe
from keras_noisyfer.datasets.table_cells import cell_text, read_csv
from keras_noisyfer.datasets.table_tasks import (
    AFFECT,
    LONG_COLUMNS,
    MAX_CLASSES,
)
from keras_noisyfer.files import read_json
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask
from keras_noisyfer.typing import PathLike

TRUTH = "ground truth"
KINDS = ("choices", "rating", "number")
# What the flat exports have beside the data and the labels.
_OTHER = "id annotator annotation_id created_at updated_at lead_time".split()
# What Label Studio puts before the name of a file that is uploaded.
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")


def load_label_studio(
    export: PathLike,
    image_dir: PathLike,
    *,
    image: str = "image",
    controls: Sequence[str] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    **options: Any,
) -> LabelledImages:
    """Loads what people labelled in Label Studio.

    Each control is a task: choices are a categorical one whose classes are
    the choices that occur, sorted; numbers, and ratings with a range, a
    continuous one of one dimension. Ratings without a range are the classes
    1, 2 and so on. Numbers `valence` and `arousal` are the task `affect`.
    Each person is an annotator; cancelled annotations are left out, those
    marked as ground truth are the clean labels.

    Args:
        export: File that Label Studio exports as JSON, JSON-MIN or CSV.
        image_dir: Folder of the images. Paths of uploaded and of local files
            (`/data/upload/1/6e0f-cat.jpg`, `/data/local-files/?d=pets/cat.jpg`)
            and URLs are looked for by their last parts.
        image: Name of the image in the data.
        controls: Names of the controls to load; by default all. JSON-MIN and
            CSV files do not tell them from other data.
        ranges: Dict by control of `(low, high)`, which become -1 and 1. By
            default numbers are in [-1, 1].
        **options: `on_error`, `max_annotators`, `streams`, `seed` and
            `decode`, see `from_dataframe`.

    Returns:
        A `LabelledImages`. A row of the report is called after the number of
        the task in Label Studio, the annotator and the control.

    Warns:
        UserWarning: if two URLs end at one file of the folder.

    Raises:
        ValueError: if the file is no such export, has no label, or as
            `from_dataframe`.

    Example:

    >>> ranges = {"pain": (1, 5)}
    >>> data = load_label_studio("export.json", "faces", ranges=ranges)
    >>> data.annotators
    {'pain': ['ann@example.org', 'bob@example.org']}

    Reference:

    - [Label Studio's export formats](https://labelstud.io/guide/export)
    """
    rows = []
    items, surplus = _read(export)
    for item in items:
        if not isinstance(item, dict):
            raise _no_export(export, f"{item!r} for a task")
        data = item.get("data", item) if "annotations" in item else item
        if not isinstance(data, dict) or image not in data:
            known = ", ".join(data) if isinstance(data, dict) else data
            raise ValueError(
                f"`image` must be a name in the data of {export}: "
                f"{one_line(known)}. Received: {image!r}"
            )
        if not isinstance(data[image], str):
            raise _no_export(export, f"{data[image]!r} for an image")
        for who, control, kind, value in _labels(item, image, export):
            if controls is None or control in controls:
                entry = f"{item.get('id', len(rows))}, {who}, {control}"
                rows.append((entry, data[image], who, control, value, kind))
    if not rows:
        raise _no_export(export, "no label")
    names = ("row", *LONG_COLUMNS, "kind")
    frame = pd.DataFrame(rows, columns=names, dtype=object).set_index("row")
    tasks = _scale_and_infer(frame, dict(ranges or {}))
    frame.attrs["surplus"] = surplus
    columns = {name: name for name in LONG_COLUMNS}
    if (frame["annotator"] == TRUTH).any():
        columns["clean"] = TRUTH

    options["image_path"] = find = functools.partial(find_image, image_dir)
    files: dict[str, str] = {}
    for url in frame["image"].unique():
        other = files.setdefault(find(url), url)
        if other != url:
            warnings.warn(
                f"{one_line(other)} and {one_line(url)} are taken for one "
                f"image, {find(url)}, with the labels of both. If they are "
                "two, put them into folders called as theirs",
                stacklevel=2,
            )
    return from_dataframe(frame, image_dir, tasks, columns, **options)


def find_image(image_dir: PathLike, written: str) -> str:
    """The file that Label Studio calls by a URL or a path of its own: the
    longest last part of the path that is a file of the folder, with or without
    what Label Studio puts before the names of uploaded files; or else
    `written`."""
    url = urllib.parse.urlsplit(written)
    local = urllib.parse.parse_qs(url.query).get("d")
    path = local[0] if local else urllib.parse.unquote(url.path)
    *folders, file = [part for part in path.split("/") if part] or [""]
    for parts in ([*folders, file], [*folders, _UPLOAD.sub("", file)]):
        for start in range(len(parts)):
            name = "/".join(parts[start:])
            if os.path.isfile(os.path.join(image_dir, name)):
                return name
    return written


def _read(export):
    """The tasks, and what is to be said of rows of too many values."""
    if os.fspath(export).lower().endswith(".csv"):
        table = read_csv(export)
        return table.to_dict("records"), table.attrs["surplus"]
    try:
        items = read_json(export)
    except OSError as error:
        raise _no_export(export, error.strerror) from error
    if not isinstance(items, list):
        raise _no_export(export, type(items).__name__)
    return items, {}


def _no_export(export, received):
    return ValueError(
        "`export` must be a file that Label Studio exports as JSON, JSON-MIN "
        f"or CSV. Received: {one_line(received)} in {export}"
    )


def _labels(item, image, export):
    """Annotator, control, kind and value of each label of a task."""
    if "annotations" not in item:
        who = cell_text(_single(item.get("annotator")))
        for control, cell in item.items():
            if control != image and control not in _OTHER:
                kind, value = _flat(cell)
                if cell_text(value):
                    yield who, control, kind, value
        return
    try:
        for each in item["annotations"]:
            if each.get("was_cancelled"):
                continue
            who = each.get("completed_by")
            if isinstance(who, dict):
                who = who.get("email") or who.get("id")
            who = TRUTH if each.get("ground_truth") else cell_text(_single(who))
            for result in each["result"]:
                kind = result["type"]
                if kind in KINDS:
                    value = _single(result["value"][kind])
                    yield who, str(result["from_name"]), kind, value
    except (AttributeError, KeyError, TypeError) as error:
        raise _no_export(export, f"an annotation without {error}") from error


def _flat(cell):
    """Kind and value of a cell of JSON-MIN or CSV, which is JSON within them
    unless it is one choice."""
    if isinstance(cell, str) and cell[:1] in ("[", "{"):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return "choices", cell
    if isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    if isinstance(cell, dict):
        for kind in KINDS:
            if kind in cell:
                return kind, _single(cell[kind])
    is_number = isinstance(cell, (int, float))
    return ("number" if is_number else "choices"), _single(cell)


def _single(value):
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    # Several choices are no class.
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def _scale_and_infer(frame, ranges):
    """The tasks of a long table, whose numbers become those of its ranges."""
    kinds = frame.groupby("task")["kind"].unique()
    for control, limits in ranges.items():
        if control not in kinds or not limits[0] < limits[1]:
            raise ValueError(
                "`ranges` must be a dict of (low, high) of controls: "
                f"{one_line(', '.join(kinds.index))}. "
                f"Received: {control}, {limits}"
            )
    tasks, values = [], []
    for control, kind in kinds.items():
        own = frame["task"] == control
        cells = frame.loc[own, "value"]
        if control in ranges:
            low, high = ranges[control]
            numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
            scaled = (2 * numbers - low - high) / (high - low)
            scaled = scaled.astype(object).where(scaled.notna(), cells)
            frame.loc[own, "value"] = scaled
        if control in ranges or "number" in kind:
            values.append(control)
            continue
        if "rating" in kind:
            most = max(filter(_is_number, cells), default=0)
            count = min(int(most), MAX_CLASSES + 1)
            names = [str(number) for number in range(1, count + 1)]
        else:
            names = sorted({cell_text(cell) for cell in cells})
            names = [name for name in names if name[:1] not in ("[", "{")]
        if not 2 <= len(names) <= MAX_CLASSES:
            raise ValueError(
                f"Control {one_line(control)!r} must have 2 to "
                f"{MAX_CLASSES} classes; `ranges` makes a value of a "
                f"rating, `controls` leaves it out. Received: {len(names)}"
            )
        tasks.append(CategoricalTask(control, class_names=names))
    if set(AFFECT) <= set(values):
        tasks.append(ContinuousTask("affect", AFFECT))
        values = [control for control in values if control not in AFFECT]
    # A slot of a table is `task.dimension`, or the dimension alone.
    tasks += [ContinuousTask(control, ("value",)) for control in values]
    frame.loc[frame["task"].isin(values), "task"] += ".value"
    return tasks


def _is_number(value):
    # Neither one that no float can hold, nor infinite, nor none.
    return isinstance(value, (int, float)) and -1e9 < value < 1e9
