"""What annotators did: their noise, their confusions and their agreement."""

import itertools
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_noisyfer.datasets.pipeline import check_labels
from keras_noisyfer.noise import (
    MISSING,
    format_realised_noise,
    realised_confusion,
    realised_noise,
)
from keras_noisyfer.results import format_table
from keras_noisyfer.tasks import CategoricalTask, check_tasks
from keras_noisyfer.typing import Labels, Tasks


def annotator_report(
    labels: Labels, tasks: Tasks, clean: Labels | None = None
) -> dict[str, dict[str, Any]]:
    """Measures the annotators of a data set, against the truth and each other.

    Args:
        labels: Dict by task name. Categorical: integers of shape
            `(n, annotators)` or `(n,)`, -1 where missing; continuous: floats
            in [-1, 1] of shape `(n, annotators, dimensions)` or
            `(n, dimensions)`, NaN where missing.
        tasks: Sequence of tasks.
        clean: Dict by task name of labels that count as the truth, without
            an annotator axis; tasks without them are left out.

    Returns:
        A dict by task name, ready for `write_json`, of dicts with

        - `"classes"` or `"dimensions"`: names of the classes (their ids if
          they have none) or of the values.
        - `"streams"`: one dict an annotator: `"n"`, `"missing"` and, with
          clean labels, what `realised_noise` measures and, for classes,
          `"transition_matrix"`: row i holds the shares of the labels given
          to images of clean class i; NaN where there is no such image.
        - `"pairs"`: one dict a pair of annotators: `"annotators"`, their
          indices; `"n"`, the number of images both labelled (in every
          dimension); over these `"kappa"`, Cohen's, or `"ccc"`, the
          concordance, one a dimension.
        - `"alpha"`: Krippendorff's, nominal for classes; for values a list,
          interval, one a dimension. Every image that two annotators or more
          labelled counts. As kappa, it is 1 if all agree and 0 if they agree
          as often as by chance.

        NaN where undefined: without a second annotator, an image that two
        labelled, or a second class or value.

    Raises:
        ValueError: If labels do not fit the tasks, or lengths differ.
        ImportError: If scikit-learn or krippendorff is not installed.

    Example:

    >>> report = annotator_report(data.labels, data.tasks, data.clean)
    >>> print(format_annotator_report(report))
    >>> write_json("annotators.json", report)

    Reference:

    - [Cohen, 1960](https://doi.org/10.1177/001316446002000104)
    - [Krippendorff, 2011](https://repository.upenn.edu/asc_papers/43)
    """
    _import_audit()
    tasks = check_tasks(tasks)
    labels = check_labels(labels, tasks, evaluation=True)
    clean = dict(clean or {})
    unknown = sorted(set(clean) - set(labels))
    if unknown:
        raise ValueError(
            f"`clean` must have keys among {sorted(labels)}. "
            f"Received: {unknown}"
        )
    return {
        task.name: _task_report(task, labels[task.name], clean.get(task.name))
        for task in tasks
    }


def format_annotator_report(report: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the report of `annotator_report` as text to print.

    Args:
        report: What `annotator_report` returned.

    Returns:
        For each task a line an annotator, a table of each transition matrix
        in percent, and the agreement.

    Example:

    >>> print(format_annotator_report(report))
    object annotator 0: 19.3 % wrong, 0.0 % missing (n = 1,000)
    object annotator 1: 30.3 % wrong, 8.5 % missing (n = 1,000)
    <BLANKLINE>
    object annotator 0, percent of each clean class (rows):
          cat  dog  bird
    ----  ---  ---  ----
    cat    80   12     8
    dog    11   80     9
    bird    8   10    82
    <BLANKLINE>
    ...
    <BLANKLINE>
    object agreement: Krippendorff's alpha 0.382, Cohen's kappa 0-1=0.382
    """
    blocks = []
    for name, task in report.items():
        blocks.append(format_realised_noise(name, task["streams"]))
        for index, stream in enumerate(task["streams"]):
            if "transition_matrix" in stream:
                table = _format_matrix(
                    task["classes"], stream["transition_matrix"]
                )
                blocks.append(
                    f"{name} annotator {index}, percent of each clean class "
                    f"(rows):\n{table}"
                )
        blocks.append("\n".join(_format_agreement(name, task)))
    return "\n\n".join(blocks)


def _task_report(task, labels, clean):
    if isinstance(task, CategoricalTask):
        labels = labels if labels.ndim == 2 else labels[:, None]
        names = task.class_names or range(task.num_classes)
        report = {"classes": list(map(str, names))}
        pair, alpha = _kappa, _nominal_alpha
        given = labels != MISSING
    else:
        labels = labels if labels.ndim == 3 else labels[:, None]
        report = {"dimensions": list(task.dimensions)}
        pair, alpha = _concordance, _interval_alpha
        given = ~np.isnan(labels).any(axis=-1)
    annotators = range(labels.shape[1])
    return {
        **report,
        "streams": _stream_reports(task, labels, clean),
        "pairs": [
            {
                "annotators": [i, j],
                "n": int((given[:, i] & given[:, j]).sum()),
                **pair(labels[:, i], labels[:, j]),
            }
            for i, j in itertools.combinations(annotators, 2)
        ],
        "alpha": alpha(labels, task.num_outputs),
    }


def _stream_reports(task, labels, clean):
    if clean is None:
        # Anything of its kind and shape does: only counts are kept.
        streams = realised_noise(labels, labels[:, 0])
        return [
            {key: each[key] for key in ("n", "missing")} for each in streams
        ]
    name = task.name
    clean = check_labels({name: clean}, [task.with_annotators(1)], True)[name]
    if clean.ndim != labels.ndim - 1 or len(clean) != len(labels):
        raise ValueError(
            f"`clean['{name}']` must have one entry an image, {len(labels)}, "
            f"and no annotator axis. Received: shape={clean.shape}"
        )
    streams = realised_noise(labels, clean)
    if isinstance(task, CategoricalTask):
        matrices = realised_confusion(labels, clean, task.num_classes)
        for stream, matrix in zip(streams, matrices, strict=True):
            stream["transition_matrix"] = matrix.tolist()
    return streams


def _kappa(first, second):
    from sklearn.metrics import cohen_kappa_score

    both = (first != MISSING) & (second != MISSING)
    first, second = first[both], second[both]
    # Undefined exactly if there is no label or they are all the same.
    if len(np.union1d(first, second)) < 2:
        return {"kappa": np.nan}
    return {"kappa": float(cohen_kappa_score(first, second))}


def _concordance(first, second):
    return {"ccc": realised_noise(first, second)[0]["ccc"]}


def _nominal_alpha(labels, num_classes):
    import krippendorff

    # Of each image, how many annotators chose each class.
    votes = (labels[..., None] == np.arange(num_classes)).sum(axis=1)
    votes = votes[votes.sum(axis=1) > 1]
    if np.count_nonzero(votes.any(axis=0)) < 2:
        return np.nan
    return float(
        krippendorff.alpha(value_counts=votes, level_of_measurement="nominal")
    )


def _interval_alpha(labels, dimensions):
    """Krippendorff's alpha of each dimension.

    The package's memory grows with the square of the number of different
    values. Here the differences of all pairs are sums of squares: those of
    m values about their mean are m times as much.
    """
    return [_interval_alpha_of(labels[..., d]) for d in range(dimensions)]


def _interval_alpha_of(values):
    values = values.astype("float64")
    raters = (~np.isnan(values)).sum(axis=1)
    values, raters = values[raters > 1], raters[raters > 1]
    given = values[~np.isnan(values)]
    if given.size == 0 or np.ptp(given) == 0:
        return np.nan
    means = np.nanmean(values, axis=1, keepdims=True)
    within = np.nansum((values - means) ** 2, axis=1)
    observed = (within * raters / (raters - 1)).sum() / given.size
    return float(1 - observed / np.var(given, ddof=1))


def _format_matrix(classes, matrix):
    rows = [
        {
            # No heading, since a class may have any name.
            "": name,
            **{
                column: value if np.isnan(value) else round(100 * value)
                for column, value in zip(classes, row, strict=True)
            },
        }
        for name, row in zip(classes, matrix, strict=True)
    ]
    return format_table(rows)


def _format_agreement(name, task):
    if not task["pairs"]:
        return [f"{name} agreement: one annotator has none"]
    if "classes" in task:
        pairs = [(each, each["kappa"]) for each in task["pairs"]]
        return [_format_line(name, task["alpha"], "Cohen's kappa", pairs)]
    return [
        _format_line(
            f"{name} {dimension}",
            task["alpha"][index],
            "concordance",
            [(each, each["ccc"][index]) for each in task["pairs"]],
        )
        for index, dimension in enumerate(task["dimensions"])
    ]


def _format_line(name, alpha, measure, pairs):
    values = ", ".join(
        "{}-{}={:.3f}".format(*pair["annotators"], value)
        for pair, value in pairs
    )
    return textwrap.fill(
        f"{name} agreement: Krippendorff's alpha {alpha:.3f}, "
        f"{measure} {values}",
        width=80,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _import_audit():
    try:
        import krippendorff  # noqa: F401
        import sklearn.metrics  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "annotator_report needs scikit-learn and krippendorff: "
            "pip install keras_noisyfer[audit]"
        ) from error
