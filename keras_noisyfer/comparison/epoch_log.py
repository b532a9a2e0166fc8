"""What is written down after each epoch of a cell."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_noisyfer.labels import annotator_axis
from keras_noisyfer.metrics import metric_results, metrics_for
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Logs, PathLike, Tasks

if TYPE_CHECKING:
    from keras_noisyfer.comparison.data import Case
    from keras_noisyfer.datasets.labelled_images import LabelledImages

TEST_BATCH_SIZE = 250
# What `JointDistributionGAN` logs of its automatic weights.
AUTOMATIC_WEIGHTS = ("lambda_joint", "gamma")


class EpochLog(keras.callbacks.Callback):
    """Follows a model on noisy validation labels and on the clean test.

    Writes a line an epoch: its number (from 1), the optimizer's steps so far,
    the seconds since the first epoch began, what `fit` logs of the training
    but for its metrics, and the metrics `validation_<task>_<metric>` and
    `test_<task>_<metric>` of the consensus prediction.

    Args:
        path: CSV file, replaced where it exists.
        case: `Case`.
        epochs_before: Epochs of another model that made this one's features;
            epochs and steps are counted from there.
        steps_before: Its optimizer steps.
    """

    def __init__(
        self,
        path: PathLike,
        case: Case,
        epochs_before: int = 0,
        steps_before: int = 0,
    ):
        super().__init__()
        self.path = path
        self.case = case
        self.epochs_before = epochs_before
        self._steps = steps_before
        self.rows = []
        self.test_predictions = None
        # Labels of any number of annotators for one consensus.
        self._data = {
            split: each.batches(case.image_shape, TEST_BATCH_SIZE)
            for split, each in (
                ("validation", case.validation),
                ("test", case.test),
            )
        }

    def on_train_begin(self, logs: Logs = None) -> None:
        self._start = time.time()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._steps += 1

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        row = {
            "epoch": self.epochs_before + epoch + 1,
            "step": self._steps,
            "seconds": round(time.time() - self._start, 1),
        }
        row |= {
            name: round(float(value), 6)
            for name, value in (logs or {}).items()
            if name.endswith("loss") or name in AUTOMATIC_WEIGHTS
        }
        for split, data in (
            ("validation", self.case.validation),
            ("test", self.case.test),
        ):
            predictions = self.model.predict(self._data[split], verbose=0)
            row |= {
                f"{split}_{name}": round(value, 6)
                for name, value in evaluate(data, predictions).items()
            }
        self.test_predictions = predictions
        self.rows.append(row)
        with open(self.path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            writer.writeheader()
            writer.writerows(self.rows)

    def summary(self) -> dict[str, Any]:
        """The test metrics of three epochs.

        Returns:
            A dict: `epochs` (the numbers of the `last` epoch and of the one
            `chosen` by the noisy validation labels), `noisy_score` (what
            the latter was chosen by, see `selection_score`) and `test`, a
            dict by metric of its value after the `last` and the `chosen`
            epoch and of the `best` there was, which nobody without clean
            labels could have had.
        """
        tasks = self.case.validation.labelled_tasks
        scores = [selection_score(row, tasks) for row in self.rows]
        index = int(np.argmax(scores))
        chosen = self.rows[index]
        last = self.rows[-1]
        test = {}
        for name in last:
            if name.startswith("test_"):
                best = min if name.endswith("_mse") else max
                test[name.removeprefix("test_")] = {
                    "last": last[name],
                    "chosen": chosen[name],
                    "best": best(row[name] for row in self.rows),
                }
        return {
            "epochs": {"last": last["epoch"], "chosen": chosen["epoch"]},
            "steps": last["step"],
            "noisy_score": scores[index],
            "test": test,
        }


def selection_score(row: Mapping[str, float], tasks: Tasks) -> float:
    """What an epoch is chosen by, among a method's epochs: the sum over the
    tasks of the accuracy, or the CCC, on noisy validation labels. A CCC that
    is not known of all dimensions is the mean of the others, or 0."""
    total = 0.0
    for task in tasks:
        prefix = f"validation_{task.name}"
        if isinstance(task, CategoricalTask):
            total += row[f"{prefix}_accuracy"]
            continue
        each = [row[f"{prefix}_ccc"]]
        if np.isnan(each[0]):
            each = [row[f"{prefix}_{d}_ccc"] for d in task.dimensions]
        known = [value for value in each if not np.isnan(value)]
        total += float(np.mean(known)) if known else 0.0
    return total


def evaluate(
    data: LabelledImages, predictions: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """The metrics of consensus predictions on a data set's labels.

    Args:
        data: `LabelledImages`.
        predictions: Dict by task name of arrays, one entry an image.

    Returns:
        Dict of floats by `<task>_<metric>`, without tasks that have no label.
    """
    results = {}
    for task in data.labelled_tasks:
        labels = annotator_axis(task, data.labels[task.name])
        metrics = metrics_for(task)
        for metric in metrics:
            metric.update_state(labels, predictions[task.name])
        results |= {
            name: float(value)
            for name, value in metric_results(metrics).items()
        }
    return results
