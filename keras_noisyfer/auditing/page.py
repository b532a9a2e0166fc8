"""The findings of an audit as files: tables and one page to look at."""

from __future__ import annotations

import base64
import hashlib
import pathlib

import numpy as np
import tensorflow as tf

from keras_noisyfer.arguments import check_number
from keras_noisyfer.auditing.audit import LabelAudit
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.files import replacing
from keras_noisyfer.results import prepare_output_dir, write_json
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import PathLike
from keras_noisyfer.value_checks import one_line_errors

_TEMPLATE = "page.html"
_SCRIPT = "page.js"
# Files have no common size; an array keeps its own.
_THUMBNAIL_SHAPE = (96, 96, 3)


def write_audit(
    found: LabelAudit,
    data: LabelledImages,
    folder: PathLike,
    thumbnails: int = 200,
    title: str = "Label audit",
) -> pathlib.Path:
    """Writes what an audit found to a folder.

    - `labels.csv`: `found.labels`, one row a label; `image`, `task` and
      `annotator` join it to your own rows.
    - `images.csv`: `found.images`, one row an image with the consensus.
    - `annotators.json`: `found.annotators`.
    - `audit.html`: one page without any other file: summary, matrices, and
      the most suspect of the images that have a label, with filters.

    Args:
        found: What `audit` returned.
        data: The `LabelledImages` that were audited.
        folder: The folder; created if it is not there. Files of an earlier
            audit are replaced.
        thumbnails: Number of images on the page, at least 0.
        title: Heading of the page.

    Returns:
        The path of the page, a `pathlib.Path`.

    Raises:
        ValueError: if the folder cannot be written to, or `data` holds other
            images.
        ImportError: if the extra `audit` is not installed.

    Example:

    >>> write_audit(audit(model, data), data, "runs/audit")
    """
    check_number("thumbnails", thumbnails, minimum=0, integer=True)
    for argument, each, kind, expected in (
        ("found", found, LabelAudit, "a LabelAudit, what `audit` returns"),
        ("data", data, LabelledImages, "the LabelledImages that were audited"),
    ):
        if not isinstance(each, kind):
            raise ValueError(
                f"`{argument}` must be {expected}. "
                f"Received: {type(each).__name__}"
            )
    if list(found.images["image"]) != list(data.names):
        raise ValueError(
            "`data` must be what was audited. Received: other images, "
            f"{len(data)} for {len(found.images)}"
        )
    _import_jinja2()
    folder = prepare_output_dir(folder)
    for name in ("labels", "images"):
        text = getattr(found, name).to_csv(index=False, lineterminator="\n")
        _write(folder / f"{name}.csv", text)
    write_json(folder / "annotators.json", found.annotators)
    page = folder / "audit.html"
    _write(page, _render(found, data, thumbnails, title))
    return page


def _write(path, text):
    """Writes a text file that is complete or not there at all."""
    with replacing(path) as unfinished:
        # File names need not be Unicode.
        unfinished.write_text(text, "utf-8", errors="surrogateescape")


def _render(found, data, thumbnails, title):
    jinja2 = _import_jinja2()
    folder = pathlib.Path(__file__).parent
    script = (folder / _SCRIPT).read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest())
    # Names of files, classes and annotators come from strangers.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True
    )
    labels = found.labels
    return environment.get_template(_TEMPLATE).render(
        title=title,
        # A page runs this script and no other.
        script=jinja2.utils.markupsafe.Markup(script),
        script_hash=f"sha256-{digest.decode()}",
        count=len(found.images),
        unlabelled=int(found.images["score"].isna().sum()),
        label_count=len(labels),
        summary=_summary(found),
        tasks=[_describe_task(t, found.annotators[t.name]) for t in data.tasks],
        choices={
            "task": labels["task"].unique(),
            "annotator": sorted(labels["annotator"].unique()),
            **_class_choices(labels, data.tasks),
        },
        cards=_cards(found, data, thumbnails),
    )


def _summary(found):
    rows = []
    for task, report in found.annotators.items():
        own = found.labels[found.labels["task"] == task]
        for stream in report["streams"]:
            scores = own.loc[own["annotator"] == stream["name"], "score"]
            rows.append(
                {
                    "task": task,
                    "annotator": stream["name"],
                    "labels": len(scores),
                    "missing": f"{100 * stream['missing']:.1f} %",
                    "noise": _percent(stream.get("noise_rate")),
                    "mean": _number(scores.mean() if len(scores) else np.nan),
                    "low": int((scores < 0.05).sum()),
                }
            )
    return rows


def _describe_task(task, report):
    described = {
        "name": task.name,
        "agreement": _agreement(report),
        "classes": report.get("classes"),
    }
    if isinstance(task, CategoricalTask):
        described["matrices"] = [
            {
                "annotator": stream["name"],
                "rows": [
                    (name, [_shaded(value) for value in row])
                    for name, row in zip(
                        report["classes"], stream["confusion"], strict=True
                    )
                ],
                "bias": [_number(100 * b, "+.1f") for b in stream["bias"]],
            }
            for stream in report["streams"]
        ]
    else:
        described["rows"] = [
            {
                "annotator": stream["name"],
                "dimension": name,
                "bias": _number(stream["bias"][index], "+.3f"),
                "spread": _number(stream["spread"][index]),
            }
            for stream in report["streams"]
            for index, name in enumerate(report["dimensions"])
        ]
    return described


def _agreement(report):
    if not report["pairs"]:
        return "One annotator: there is no agreement to measure."
    parts = [f"Krippendorff's alpha {_measures(report['alpha'])}"]
    names = [stream["name"] for stream in report["streams"]]
    for pair in report["pairs"]:
        key = "kappa" if "kappa" in pair else "ccc"
        first, second = (names[index] for index in pair["annotators"])
        parts.append(f"{key} {first} and {second} {_measures(pair[key])}")
    return "; ".join(parts) + "."


def _measures(values):
    numbers = map(_number, np.atleast_1d(values))
    return " / ".join(each or "undefined" for each in numbers)


def _class_choices(labels, tasks):
    """Classes to filter by; values are too many."""
    names = [t.name for t in tasks if isinstance(t, CategoricalTask)]
    own = labels[labels["task"].isin(names)]
    return {
        column: sorted(own[column].unique())
        for column in ("given", "consensus")
    }


def _cards(found, data, count):
    # An image without a label has no score.
    scores = found.images["score"].dropna()
    chosen = scores.nsmallest(count).index.to_numpy()
    sources = dict(
        zip(np.sort(chosen), _encode(data, np.sort(chosen)), strict=True)
    )
    names = found.images["image"]
    labels = found.labels[found.labels["image"].isin(names[chosen])]
    by_image = {
        name: [
            {
                "task": row.task,
                "annotator": row.annotator,
                "given": row.given,
                "predicted": row.predicted,
                "consensus": row.consensus,
                "value": row.score,
                "score": _number(row.score),
            }
            for row in group.sort_values("score").itertuples()
        ]
        for name, group in labels.groupby("image", sort=False)
    }
    return [
        {
            "image": names[index],
            "score": _number(scores[index]),
            "source": sources[index],
            "labels": by_image[names[index]],
        }
        for index in chosen
    ]


def _encode(data, indices):
    """The images of increasing indices as data URLs."""
    if not len(indices):
        return
    images = data.select(indices).images
    shape = images.image_shape or _THUMBNAIL_SHAPE
    parts, decode = images.read(shape)
    decoded = parts.map(decode)
    with one_line_errors():
        for image in decoded:
            if image.dtype != tf.uint8:
                image = tf.cast(tf.round((image + 1.0) * 127.5), tf.uint8)
            encoded = tf.io.encode_jpeg(image, quality=90).numpy()
            yield f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"


def _shaded(value):
    if np.isnan(value):
        return {"text": "", "shade": 0}
    return {"text": round(100 * value), "shade": f"{0.75 * value:.2f}"}


def _percent(value):
    return "" if value is None or np.isnan(value) else f"{100 * value:.1f} %"


def _number(value, form=".3f"):
    return "" if np.isnan(value) else format(value, form)


def _import_jinja2():
    try:
        import jinja2
        import jinja2.utils
    except ImportError as error:
        raise ImportError(
            "write_audit needs jinja2: pip install keras_noisyfer[audit]"
        ) from error
    return jinja2
