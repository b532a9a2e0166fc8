"""Files of a model in the course of training."""

import json
import pathlib
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_noisyfer.arguments import check_number
from keras_noisyfer.distribution import is_chief
from keras_noisyfer.networks.network import adopt_weights
from keras_noisyfer.numerical_fault import check_weights
from keras_noisyfer.training_state import (
    assign_state,
    check_folder,
    check_state,
    describe_settings,
    read_state,
    state_variables,
    write_state,
)
from keras_noisyfer.typing import Logs, PathLike


class ChiefModelCheckpoint(keras.callbacks.ModelCheckpoint):
    """`keras.callbacks.ModelCheckpoint` for training in several processes.

    Every process has all weights; the first one alone writes them. In a
    single process it is `ModelCheckpoint`. Give it to the `fit` of every
    process.

    Args:
        *args: The arguments of `keras.callbacks.ModelCheckpoint`.
        **kwargs: Likewise.

    Example:

    >>> checkpoint = ChiefModelCheckpoint("runs/gan.keras")
    >>> model.fit(dataset, epochs=30, callbacks=[checkpoint])
    """

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if is_chief():
            with _UndistributedArrays():
                super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if is_chief():
            with _UndistributedArrays():
                super().on_epoch_end(epoch, logs)


class ResumeTraining(keras.callbacks.Callback):
    """Lets a run that was stopped or killed go on as if it had not been.

    Give the same command again: the second run restores all weights, both
    optimizers, random states, the epoch and the warm-up, automatic weights,
    and the place in the data, and `fit` returns the history of both. On a CPU
    its losses are those of a run that was never interrupted.

    `keras.callbacks.BackupAndRestore` keeps neither random states nor a
    discriminator's optimizer, and does not know which order of the images
    comes next.

    The file is replaced as a whole, and stays when training ends: the same
    command then trains nothing, and one with more epochs goes on. What other
    callbacks remember is not kept: `EarlyStopping` and `ReduceLROnPlateau`
    begin to wait anew, `ModelCheckpoint(save_best_only=True)` takes the next
    model for the best, and `CSVLogger` wants `append=True`.

    Args:
        path: The file, which ends in `.npz`; its folder is created. In a
            single process of three times the size of the weights.
        save_freq: `"epoch"`, or a number of batches, at least 1, after which
            it is written; also then at the end of each epoch.
        settings: Optional dict, as JSON has it, of what else must be the same
            when the run goes on: what makes the data set, such as its seed
            and file, is not known otherwise. Settings of the model and its
            optimizers, and the seed of `keras.utils.set_random_seed`, always
            must.

    Raises:
        ValueError: if an argument is wrong; when training begins, if the file
            is damaged, of another kind, model, global seed or number of
            batches, or the data is not a `tf.data.Dataset` of known size, or
            the very object of which the interrupted run has begun an epoch:
            its order of images cannot be taken back.
        OSError: if the file cannot be written. The last one is kept.
        NumericalFault: if a weight is not finite. Likewise.

    Example:

    >>> resume = ResumeTraining("runs/gan.npz")
    >>> model.fit(dataset, epochs=30, callbacks=[resume])
    """

    def __init__(
        self,
        path: PathLike,
        save_freq: str | int = "epoch",
        settings: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.path = pathlib.Path(path)
        if self.path.suffix != ".npz":
            raise ValueError(f"`path` must end in '.npz'. Received: {path}")
        if save_freq != "epoch":
            check_number("save_freq", save_freq, minimum=1, integer=True)
        self.save_freq: Any = save_freq
        try:
            # As it comes back from the file: tuples are lists there.
            self.settings = json.loads(json.dumps(dict(settings or {})))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`settings` must be a dict, as JSON has it. Received: {error}"
            ) from error
        self._data: Any = None
        self._tell: Callable[[], None] = lambda: None

    def prepare(self, data: Any, tell: Callable[[], None]) -> None:
        """What `fit` trains on, and whom to tell that the state is restored."""
        self._data, self._tell = data, tell

    def on_train_begin(self, logs: Logs = None) -> None:
        self._batches = self._check_data()
        check_folder(self.path)
        self._settings = {
            **describe_settings(self.model),
            "batches": self._batches,
            # On which the order of the images depends.
            "global_seed": _global_seed(),
            "settings": self.settings,
        }
        self._history = {}
        self._epoch = self._batch = self._unsaved = self._skipped = 0
        self._restored = None
        taken = self._first = _ITERATORS.get(self._data, 0)
        if not self.path.exists():
            return
        header, values = read_state(self.path)
        check_state(self.path, self.model, self._settings, header, values)
        self._history = header["history"]
        self._epoch, self._batch = header["epoch"], header["batch"]
        self._first = header.get("iterators", taken)
        due = self._due(self._epoch)
        if taken > due:
            raise ValueError(
                f"`x` must be made anew to go on from {self.path}, since its "
                "order of images has moved on. Received: the data set of a run "
                "that was interrupted in this process"
            )
        self._restore(values)
        self._restored = values
        self.model._initial_epoch = self._epoch
        # A data set that shuffles has another order for each iterator.
        for _ in range(due - taken):
            iter(self._data)
        _ITERATORS[self._data] = due

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch
        _ITERATORS[self._data] = self._due(epoch) + 1
        if self._restored is None:
            return
        # Keras would begin another call of `fit` there too.
        self.model._initial_epoch = None
        self._fill_history()
        if self._batch:
            # Keras has just reset the metrics.
            self._restore(self._restored)
            self._skip_batches()
        self._restored = None

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        done = batch + 1
        if done <= self._skipped:
            return
        self._unsaved += done - self._batch
        self._batch = done
        if (
            self.save_freq != "epoch"
            and self._unsaved >= self.save_freq
            and done < self._batches
        ):
            # At the end of an epoch the model's own callbacks look at them.
            check_weights(self.model)
            self._save(self._epoch, done)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
        self._batch = self._skipped = 0
        _ITERATORS[self._data] = self._due(epoch + 1)
        self._save(epoch + 1, 0)

    def on_train_end(self, logs: Logs = None) -> None:
        self.model._initial_epoch = None
        # Where no epoch was left.
        self._fill_history()

    def _due(self, epoch):
        """How many iterators of the data have been taken when one begins."""
        return self._first + _ITERATORS_AN_EPOCH * epoch

    def _restore(self, values):
        assign_state(state_variables(self.model), values)
        adopt_weights(self.model)
        self._tell()

    def _check_data(self):
        # TensorFlow need not be there.
        size = getattr(self._data, "cardinality", lambda: -1)()
        size = int(size)
        if size < 1:
            raise ValueError(
                "`x` must be a tf.data.Dataset of a known number of batches, "
                "to be gone on with by ResumeTraining. Received: "
                f"{type(self._data).__name__}"
            )
        if self.params.get("steps") != size:
            raise ValueError(
                "`steps_per_epoch` must be left out with ResumeTraining. "
                f"Received: {self.params.get('steps')} of {size} batches"
            )
        return size

    def _save(self, epoch, batch):
        self._unsaved = 0
        if not is_chief():
            return
        header = {
            "epoch": epoch,
            "batch": batch,
            "iterators": self._first,
            "history": self._history,
            "settings": self._settings,
        }
        try:
            with _UndistributedArrays():
                write_state(self.path, self.model, header)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The state of training could not be written after epoch "
                f"{self._epoch + 1}, batch {self._batch or self._batches}: "
                f"{error.strerror}. The last one is kept in {self.path}",
            ) from error

    def _fill_history(self):
        history = self.model.history
        if len(history.epoch) < self._finished_epochs():
            history.history = {n: list(e) for n, e in self._history.items()}
            history.epoch = list(range(self._finished_epochs()))

    def _finished_epochs(self):
        return max(map(len, self._history.values()), default=0)

    def _skip_batches(self):
        """Reads the batches that have been trained on, and no more."""
        model, train = self.model, self.model.train_function
        self._skipped = self._batch
        left = self._batch

        def skip(*arguments):
            nonlocal left
            left -= model.steps_per_execution
            if left <= 0:
                model.train_function = train
            *state, iterator = arguments
            for _ in range(model.steps_per_execution):
                next(iterator)
            # On JAX the state of the variables passes through a step.
            return ({}, *state) if state else model.get_metrics_result()

        model.train_function = skip


def _global_seed():
    """That of `keras.utils.set_random_seed`, or TensorFlow's default."""
    import tensorflow as tf

    # There is a tf.data.Dataset.
    return int(tf.compat.v1.get_seed(0)[0])


# Keras makes one more at the end of each epoch; on JAX it is not started.
_ITERATORS_AN_EPOCH = 1 if keras.backend.backend() == "jax" else 2
# By data set, how many of its iterators the runs of this process have taken.
_ITERATORS: Any = weakref.WeakKeyDictionary()


class _UndistributedArrays:
    """Context in which Keras puts new arrays on this process' devices.

    Saving makes some, and to put an array on the devices of all processes
    would wait for the others to do the same.
    """

    def __enter__(self):
        self._distribution = keras.distribution.distribution()
        keras.distribution.set_distribution(None)

    def __exit__(self, *_):
        keras.distribution.set_distribution(self._distribution)
