"""How well an audit does where the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from keras_noisyfer.auditing.findings import ValueFindings
from keras_noisyfer.noise import (
    MISSING,
    dawid_skene,
    majority_vote,
    mean_vote,
    realised_confusion,
    realised_noise,
)
from keras_noisyfer.tasks import CategoricalTask

if TYPE_CHECKING:
    from keras_noisyfer.auditing.audit import LabelAudit
    from keras_noisyfer.datasets.labelled_images import LabelledImages

_TOP = 100


def measure_audit(
    found: LabelAudit, data: LabelledImages, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Holds an audit against clean labels, which it has not seen.

    Args:
        found: What `audit` returned.
        data: The `LabelledImages` that were audited, with clean labels.
        seed: Of the majority vote's ties.

    Returns:
        A dict by task with clean labels. Of a categorical task:

        - `"auroc"`, `"precision_at_100"`: of finding wrong labels by their
          low score, all annotators together.
        - `"consensus"`, `"majority_vote"`, `"dawid_skene"`: accuracies, of
          the images that have a label.
        - `"noise_rate"`, `"estimated_noise_rate"`: share of wrong labels, a
          list over the annotators; `"noise_rate_error"`, their mean absolute
          difference.
        - `"confusion_error"`: mean absolute difference of the entries of all
          annotators' matrices from the realised ones, and
          `"dawid_skene_confusion_error"`, of the matrices of that consensus.

        Of a continuous task `"rank_correlation"`, Spearman's, of the labels'
        scores with their distance from the truth, negative where low scores
        find far labels; and of the consensus and of the annotators' mean,
        lists over the dimensions: `"consensus_rmse"`, `"mean_vote_rmse"`,
        `"consensus_ccc"`, `"mean_vote_ccc"`, of the values that have a label.
        NaN where undefined: without a label, or without a wrong one.

    Raises:
        ImportError: if the extra `crowd` is not installed.
    """
    measures = {}
    for task in data.tasks:
        if task.name not in data.clean:
            continue
        clean = data.clean[task.name]
        rank = 2 if isinstance(task, CategoricalTask) else 3
        labels = data.labels[task.name]
        labels = labels if labels.ndim == rank else labels[:, None]
        measure = _measure_classes if rank == 2 else _measure_values
        measures[task.name] = measure(found, task, labels, clean, seed)
    return measures


def _measure_classes(found, task, labels, clean, seed):
    known = clean != MISSING
    # Nobody votes on an image without a label.
    compared = known & (labels != MISSING).any(axis=1)
    names = [str(n) for n in task.class_names or range(task.num_classes)]
    position = {name: index for index, name in enumerate(names)}
    consensus = found.images[task.name].map(position).to_numpy()
    scores = _scores(found, task, labels)
    judged = ~np.isnan(scores) & known[:, None]
    wrong = (labels != clean[:, None])[judged]
    judged_scores = scores[judged]
    lowest = np.argsort(judged_scores, kind="stable")[:_TOP]
    skene = dawid_skene(labels, task.num_classes)
    vote = majority_vote(labels, task.num_classes, seed=seed)
    rates = [each["wrong"] for each in realised_noise(labels, clean)]
    streams = found.annotators[task.name]["streams"]
    estimated = [each["noise_rate"] for each in streams]
    true = realised_confusion(labels, clean, task.num_classes)

    def confusion_error(matrices):
        return _mean(np.abs(matrices - true))

    def accuracy(classes):
        return _mean((classes == clean)[compared])

    return {
        "auroc": float(roc_auc_score(wrong, -judged_scores))
        if len(np.unique(wrong)) == 2
        else np.nan,
        "precision_at_100": _mean(wrong[lowest]),
        "consensus": accuracy(consensus),
        "majority_vote": accuracy(vote),
        "dawid_skene": accuracy(skene),
        "noise_rate": rates,
        "estimated_noise_rate": estimated,
        "noise_rate_error": _mean(np.abs(np.subtract(rates, estimated))),
        "confusion_error": confusion_error(
            np.array([each["confusion"] for each in streams])
        ),
        "dawid_skene_confusion_error": confusion_error(
            realised_confusion(labels, skene, task.num_classes)
        ),
    }


def _measure_values(found, task, labels, clean, seed):
    scores = _scores(found, task, labels)
    distances = np.sqrt(np.square(labels - clean[:, None]).sum(axis=-1))
    judged = ~np.isnan(scores) & ~np.isnan(distances)
    vote = mean_vote(labels)
    consensus = found.images[ValueFindings.value_columns(task)].to_numpy(
        "float32"
    )
    consensus = np.where(np.isnan(vote), np.nan, consensus)
    measures = {
        "rank_correlation": float(
            spearmanr(scores[judged], distances[judged]).statistic
        )
    }
    for name, values in (("consensus", consensus), ("mean_vote", vote)):
        (realised,) = realised_noise(values, clean)
        for key in ("rmse", "ccc"):
            measures[f"{name}_{key}"] = realised[key]
    return measures


def _mean(values):
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else np.nan


def _scores(found, task, labels):
    """The scores as `(n, annotators)`, NaN where there is no label."""
    scores = np.full(labels.shape[:2], np.nan)
    own = found.labels[found.labels["task"] == task.name]
    streams = found.annotators[task.name]["streams"]
    columns = {each["name"]: index for index, each in enumerate(streams)}
    rows = {name: row for row, name in enumerate(found.images["image"])}
    scores[own["image"].map(rows), own["annotator"].map(columns)] = own["score"]
    return scores
