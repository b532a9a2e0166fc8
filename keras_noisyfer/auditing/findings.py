"""What an audit finds of one task, and its rows in the tables."""

import dataclasses
from typing import Any

import numpy as np

from keras_noisyfer.noise import MISSING
from keras_noisyfer.noise.checks import nanmean
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask


@dataclasses.dataclass(frozen=True)
class ClassFindings:
    """Of a categorical task.

    Attributes:
        consensus: Class ids, `(n,)`.
        confidence: Probability that they are right, `(n,)`.
        scores: Label quality in [0, 1], `(n, annotators)`, NaN where missing.
        noise_rates: Of the annotators, `(annotators,)`, NaN without a label.
        confusion: Of the annotators, `(annotators, num_classes,
            num_classes)`: row i holds the shares of the labels given to
            images of class i.
    """

    consensus: np.ndarray
    confidence: np.ndarray
    scores: np.ndarray
    noise_rates: np.ndarray
    confusion: np.ndarray

    def image_columns(self, task: CategoricalTask) -> dict[str, np.ndarray]:
        """Columns of the table of images, a dict."""
        return {
            task.name: self.describe(task, self.consensus),
            f"{task.name}_confidence": self.confidence,
        }

    def describe(self, task: CategoricalTask, labels: np.ndarray) -> np.ndarray:
        """Names of classes, an array."""
        names = task.class_names or range(task.num_classes)
        return np.array([str(each) for each in names], "object")[labels]

    def describe_prediction(
        self, task: CategoricalTask, prediction: np.ndarray
    ) -> np.ndarray:
        """Names of the most probable classes, an array."""
        return self.describe(task, prediction.argmax(axis=1))

    def annotator(self, index: int, labels: np.ndarray) -> dict[str, Any]:
        """What the table of annotators tells of one, a dict."""
        given = labels[:, index] != MISSING
        said = np.eye(len(self.confusion[index]))[labels[given, index]]
        true = np.eye(len(self.confusion[index]))[self.consensus[given]]
        return {
            "noise_rate": float(self.noise_rates[index]),
            "bias": nanmean(said - true, axis=0),
            "confusion": self.confusion[index],
        }


@dataclasses.dataclass(frozen=True)
class ValueFindings:
    """Of a continuous task.

    Attributes:
        consensus: The most probable true values, `(n, dimensions)`.
        deviations: Their standard deviations, `(n, dimensions)`.
        scores: Label quality in [0, 1], `(n, annotators)`, NaN where missing.
        bias: Of the annotators, relative to all of them together,
            `(annotators, dimensions)`; NaN without images that another
            labelled too.
        spread: Their standard deviations about the true values, likewise.
    """

    consensus: np.ndarray
    deviations: np.ndarray
    scores: np.ndarray
    bias: np.ndarray
    spread: np.ndarray

    @staticmethod
    def value_columns(task: ContinuousTask) -> list[str]:
        """Names of the columns of the values, as a prediction file has."""
        return [f"{task.name}_{each}" for each in task.dimensions]

    @property
    def confidence(self) -> np.ndarray:
        """None: a value has a standard deviation in its place."""
        return np.full(len(self.consensus), np.nan)

    def image_columns(self, task: ContinuousTask) -> dict[str, np.ndarray]:
        """Columns of the table of images, a dict."""
        columns = {}
        for index, name in enumerate(self.value_columns(task)):
            columns[name] = self.consensus[:, index]
            columns[f"{name}_deviation"] = self.deviations[:, index]
        return columns

    def describe(self, task: ContinuousTask, values: np.ndarray) -> np.ndarray:
        """Values as text, those of several dimensions joined by spaces."""
        return np.array(
            [" ".join(f"{each:.2f}" for each in row) for row in values],
            "object",
        )

    describe_prediction = describe

    def annotator(self, index: int, labels: np.ndarray) -> dict[str, Any]:
        """What the table of annotators tells of one, a dict."""
        return {"bias": self.bias[index], "spread": self.spread[index]}
