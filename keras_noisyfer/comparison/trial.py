"""One method of a comparison on its way, followed on held-out noisy labels."""

from __future__ import annotations

import gc
import json
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_noisyfer.comparison.methods import METHODS
from keras_noisyfer.comparison.noisy_scores import score_tasks
from keras_noisyfer.files import read_json, read_npz
from keras_noisyfer.results import write_json
from keras_noisyfer.typing import Labels

if TYPE_CHECKING:
    from keras_noisyfer.datasets.labelled_images import LabelledImages

_MAX_BYTES = 2**30
# What precedes the names of the test images' predictions in a file.
_CLEAN = "clean."


class _Watch(keras.callbacks.Callback):
    """Scores each epoch on the held-out images and keeps the best one's
    predictions."""

    def __init__(self, trial, after_epoch):
        super().__init__()
        self.trial, self.after_epoch = trial, after_epoch

    def on_epoch_end(self, epoch, logs=None):
        trial = self.trial
        predictions = self.model.predict(trial.held_out_batches, verbose=0)
        score = trial.score(predictions)
        trial.history.append(score)
        # Of several tasks each counts as much as any other.
        if score > trial.best:
            trial.best, trial.epoch = score, epoch + 1
            trial.predictions = predictions
            if trial.test_batches is not None:
                trial.test_predictions = self.model.predict(
                    trial.test_batches, verbose=0
                )
        self.after_epoch(trial)


class Trial:
    """One method with its options, on its way.

    Args:
        method: A key of `METHODS`.
        options: Dict of what is chosen beside it.
        build: Function of the method and the options that returns the
            compiled model, what it is trained on, and anything.
        held_out: `LabelledImages` with noisy labels.
        batches: Their `tf.data.Dataset`.
        test_batches: That of test images, or None.
        balanced: See `score_tasks`.
    """

    def __init__(
        self,
        method: str,
        options: dict[str, Any],
        build: Callable[..., Any],
        held_out: LabelledImages,
        batches: Any,
        test_batches: Any,
        balanced: bool,
    ):
        told = "".join(
            f", {name} {f'{each:.6g}' if isinstance(each, float) else each}"
            for name, each in options.items()
        )
        self.key, self.title = method + told, METHODS[method].title + told
        self.method, self.options, self.build = method, options, build
        self.held_out, self.held_out_batches = held_out, batches
        self.test_batches = test_batches
        self.balanced = balanced
        self.path: pathlib.Path | None = None
        self.made_of: Mapping[str, Any] = {}
        self.reset()

    def keep_in(self, folder: pathlib.Path, made_of: Mapping[str, Any]) -> None:
        """Keeps what is finished in a folder, and reads what is there and was
        made of the same."""
        self.path = folder / f"{self.key.replace(', ', '_')}.json"
        self.made_of = json.loads(json.dumps(made_of, default=str))
        kept = read_json(self.path) if self.path.exists() else {}
        if kept.get("made_of") == self.made_of:
            for name in ("history", "best", "epoch", "seconds"):
                setattr(self, name, kept[name])
            arrays = read_npz(self.path.with_suffix(".npz"), _MAX_BYTES)
            for name, array in arrays.items():
                clean = name.startswith(_CLEAN)
                kept = self.test_predictions if clean else self.predictions
                kept[name.removeprefix(_CLEAN)] = array

    def reset(self) -> None:
        """Forgets all that it has seen."""
        self.model: Any = None
        self.dataset: Any = None
        self.history: list[float] = []
        self.best, self.epoch, self.seconds = -np.inf, 0, 0.0
        self.predictions: dict[str, np.ndarray] = {}
        self.test_predictions: dict[str, np.ndarray] = {}

    def score(self, predictions: Labels) -> float:
        """The sum of the tasks' scores."""
        scores = score_tasks(
            self.held_out.labelled_tasks,
            self.held_out.labels,
            predictions,
            balanced=self.balanced,
        )
        # A CCC of constant values is not known and no merit.
        return float(sum(np.nan_to_num(each[0]) for each in scores.values()))

    def train(self, epochs: int, after_epoch: Callable[[Trial], Any]) -> None:
        """Goes on until it has had so many epochs."""
        if len(self.history) >= epochs:
            return
        begin = time.perf_counter()
        if self.model is None:
            # What has been read of it has left no weights.
            self.reset()
            self.model, self.dataset, _ = self.build(
                self.method, **self.options
            )
        self.model.fit(
            self.dataset,
            epochs=epochs,
            initial_epoch=len(self.history),
            callbacks=[_Watch(self, after_epoch)],
            verbose=0,
        )
        self.seconds += time.perf_counter() - begin
        if self.path:
            # Neither without the other.
            self.path.unlink(missing_ok=True)
            clean = self.test_predictions
            arrays: dict[str, Any] = {
                **self.predictions,
                **{f"{_CLEAN}{name}": each for name, each in clean.items()},
            }
            np.savez(self.path.with_suffix(".npz"), **arrays)
            write_json(
                self.path,
                {
                    "made_of": self.made_of,
                    "history": self.history,
                    "best": self.best,
                    "epoch": self.epoch,
                    "seconds": self.seconds,
                },
            )

    def forget(self) -> None:
        """Gives the model's memory back."""
        self.model = self.dataset = None
        gc.collect()
