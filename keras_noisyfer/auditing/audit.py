"""Which labels are wrong, and how good each annotator is."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import check_choice, check_number
from keras_noisyfer.auditing.annotator_report import annotator_report
from keras_noisyfer.auditing.class_posteriors import fit_class_posterior
from keras_noisyfer.auditing.cleanlab_scores import (
    score_classes,
    score_values,
)
from keras_noisyfer.auditing.predictions import predict_images
from keras_noisyfer.auditing.value_posteriors import fit_value_posterior
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.noise.checks import nanmean
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Shape

METHODS = ("posterior", "cleanlab")


@dataclasses.dataclass(frozen=True)
class LabelAudit:
    """What `audit` found.

    Attributes:
        labels: DataFrame, one row a label that is there, in the order of the
            images: `image` (its name), `task`, `annotator` (name or number),
            `given`, `predicted` (by the model), `consensus`, `confidence` (in
            the consensus: its probability; NaN for a continuous task), `score`
            (label quality in [0, 1], low where it is suspect). Values of
            several dimensions are joined by spaces.
        images: DataFrame, one row an image: `image`; of a categorical task
            `<task>` (the consensus' class name) and `<task>_confidence`; of a
            continuous task `<task>_<dimension>` and
            `<task>_<dimension>_deviation` (its standard deviation; by
            cleanlab NaN without two labels); `score`,
            the lowest of the image's labels. Empty where an image has no
            label at all.
        annotators: Dict by task of what `annotator_report` measures without
            clean labels, each stream with `"name"` and, of classes,
            `"noise_rate"`, `"confusion"` (row i: shares of the labels given
            to images of class i) and `"bias"` (by class, how much more often
            they say it than it is true); of values `"bias"` (relative to all
            annotators) and `"spread"`, a standard deviation, by dimension.
            NaN where there is no label to tell, or nobody to compare with.
    """

    labels: pd.DataFrame
    images: pd.DataFrame
    annotators: dict

    def suspects(self, count: int = 100) -> pd.DataFrame:
        """The `count` labels with the lowest scores, a DataFrame.

        Raises:
            ValueError: if `count` is not a positive integer.
        """
        check_number("count", count, minimum=1, integer=True)
        return self.labels.nsmallest(count, "score")


def audit(
    model: Any,
    data: LabelledImages,
    folds: int | None = None,
    method: str = "posterior",
    image_shape: Shape | None = None,
    seed: int = 0,
) -> LabelAudit:
    """Scores every label of a data set, and its annotators.

    Each label is held against the model's prediction, the other annotators
    and the other kind of task: a happy face with a valence of -0.8 is suspect
    even if each of the labels is plausible. Nothing is known to be true.

    Args:
        model: A trained model whose `predict` gives a dict by task, such as
            `JointDistributionGAN`; or a dict of its predictions, arrays
            `(n, num_classes)` of probabilities or `(n, dimensions)`; or,
            with `folds`, a function that trains such a model on
            `LabelledImages` and returns it.
        data: `LabelledImages` with the labels that are audited.
        folds: Number of parts, at least 2, each predicted by a model that was
            trained on the others. By default `model` predicts all images,
            those that it was trained on as well.
        method: `"posterior"`: the probability of each label under a model of
            the annotators, see `fit_class_posterior` and
            `fit_value_posterior`. `"cleanlab"`: CROWDLAB and residuals of
            that package, which look at each task alone.
        image_shape: Shape that images are scaled to for `model`; by default
            that of its encoder.
        seed: Of the folds and of cleanlab's ties, an integer from 0 to
            2**32 - 1.

    Returns:
        A `LabelAudit`.

    Raises:
        ValueError: if an argument is of the wrong kind, out of its range, or
            predictions do not fit the tasks.
        ImportError: if the extra `audit` is not installed.

    Example:

    >>> found = audit(model, data)
    >>> found.suspects(20)
    >>> write_audit(found, data, "runs/audit")

    Reference:

    - [Raykar et al., 2010](https://jmlr.org/papers/v11/raykar10a.html)
    - [Goh et al., 2022](https://arxiv.org/abs/2210.06812), CROWDLAB
    """
    if not isinstance(data, LabelledImages):
        raise ValueError(
            "`data` must be LabelledImages, what the loaders return. "
            f"Received: {type(data).__name__}"
        )
    if len(set(data.names)) < len(data):
        raise ValueError(
            "`data` must have a name of its own for each image. Received: "
            f"{len(set(data.names))} names for {len(data)} images"
        )
    check_choice("method", method, METHODS)
    check_number("seed", seed, minimum=0, maximum=2**32 - 1, integer=True)
    labels = {
        task.name: _with_annotators(task, data.labels[task.name])
        for task in data.tasks
    }
    predictions = predict_images(model, data, folds, image_shape, seed)
    if method == "posterior":
        findings = _fit_posteriors(data.tasks, labels, predictions)
    else:
        findings = {
            task.name: score_classes(
                labels[task.name], predictions[task.name], seed
            )
            if isinstance(task, CategoricalTask)
            else score_values(labels[task.name], predictions[task.name])
            for task in data.tasks
        }
    rows, images = [], {"image": data.names}
    lowest = np.full(len(data), np.nan)
    annotators = annotator_report(data.labels, data.tasks)
    for task in data.tasks:
        finding: Any = findings[task.name]
        names = _annotator_names(data, task, finding.scores.shape[1])
        lowest = np.fmin(lowest, _row_minimum(finding.scores))
        images = _add_columns(images, finding.image_columns(task))
        rows.append(
            _label_rows(
                data.names,
                task,
                names,
                labels[task.name],
                predictions[task.name],
                finding,
            )
        )
        streams = annotators[task.name]["streams"]
        for index, stream in enumerate(streams):
            stream["name"] = names[index]
            stream.update(finding.annotator(index, labels[task.name]))
    table = pd.concat(rows, ignore_index=True)
    table = table.sort_values("row", kind="stable", ignore_index=True)
    return LabelAudit(
        table.drop(columns="row"),
        pd.DataFrame(_add_columns(images, {"score": lowest})),
        annotators,
    )


def _add_columns(columns, more):
    twice = sorted(set(columns) & set(more))
    if twice:
        raise ValueError(
            "`data` must have tasks whose names, with `_confidence` and their "
            "dimensions, are columns of one table. Received: more than one "
            f"column {', '.join(twice)}"
        )
    return {**columns, **more}


def _fit_posteriors(tasks, labels, predictions):
    """Findings of each task, a dict, from all of them together."""
    categorical = [t.name for t in tasks if isinstance(t, CategoricalTask)]
    continuous = [t.name for t in tasks if t.name not in categorical]
    # An image's annotators together are one observation of its class.
    values = [nanmean(labels[name], axis=1) for name in continuous]
    findings, classes = {}, []
    for name in categorical:
        given = labels[name], predictions[name]
        findings[name] = fit_class_posterior(*given, values).judge(given[0])
        # Without the values, which are held against them.
        classes.append(fit_class_posterior(*given).probabilities)
    for name in continuous:
        findings[name] = fit_value_posterior(
            labels[name], predictions[name], classes
        )
    return findings


def _with_annotators(task, labels):
    """Labels of any accepted shape with an annotator axis."""
    rank = 2 if isinstance(task, CategoricalTask) else 3
    return labels if labels.ndim == rank else labels[:, None]


def _annotator_names(data, task, count):
    names = data.annotators.get(task.name)
    return list(map(str, range(count) if names is None else names))


def _row_minimum(scores):
    """The lowest score of each image, NaN without any."""
    lowest = np.where(np.isnan(scores), np.inf, scores).min(axis=1)
    return np.where(np.isinf(lowest), np.nan, lowest)


def _label_rows(names, task, annotators, labels, prediction, finding):
    """The labels of a task that are there, a row each."""
    row, annotator = np.nonzero(~np.isnan(finding.scores))
    return pd.DataFrame(
        {
            "row": row,
            "image": np.array(names, "object")[row],
            "task": task.name,
            "annotator": np.array(annotators, "object")[annotator],
            "given": finding.describe(task, labels[row, annotator]),
            "predicted": finding.describe_prediction(task, prediction)[row],
            "consensus": finding.describe(task, finding.consensus)[row],
            "confidence": finding.confidence[row],
            "score": finding.scores[row, annotator],
        }
    )
