"""Keras callbacks that show a training run while it goes on."""

import io
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_noisyfer.arguments import check_choice, check_number
from keras_noisyfer.plots import (
    plot_image_grid,
    plot_training_curves,
)
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Labels, Logs, PathLike


class LiveCurves(keras.callbacks.Callback):
    """Draws the training curves in a notebook, anew after each epoch.

    In TensorBoard the curves need no callback of ours:
    `keras.callbacks.TensorBoard` writes every logged value, the joint losses
    among them, as `epoch_<name>`.

    Args:
        metric: Key of the metric in the logs, such as
            `"val_expression_accuracy"`. The joint losses come with it where
            the model has them; see `plot_training_curves`.

    Raises:
        ValueError: if it is not made in IPython; and, after the first epoch,
            if there is no such metric.
        ImportError: if IPython is not installed.

    Example:

    >>> curves = LiveCurves("val_expression_accuracy")
    >>> model.fit(dataset, validation_data=test, epochs=30, callbacks=[curves])
    """

    def __init__(self, metric: str):
        super().__init__()
        self.metric = metric
        self._display = _NotebookImage("LiveCurves")
        self._history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: Logs = None) -> None:
        self._history = {}
        self._display.clear()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        check_choice("metric", self.metric, logs)
        for name, value in logs.items():
            self._history.setdefault(name, []).append(value)
        self._display.show(
            plot_training_curves({self.model.name: self._history}, self.metric)
        )


class SampleGrid(keras.callbacks.Callback):
    """Shows images that the decoder makes, in TensorBoard or a notebook.

    The noise codes are the same after each epoch and are not drawn from the
    model's generator: training goes on as it would have without this. There
    is no grid during the warm-up, which does not train the decoder.

    Args:
        labels: Dict by task name of labels, one column each, as
            `JointDistributionGAN.generate` takes them. By default each class
            of the first task, together with the first class of any other;
            continuous tasks have no default.
        rows: Number of rows, each with noise codes of its own; at least 1.
        every: Number of epochs from one grid to the next; at least 1.
        log_dir: Folder of the TensorBoard event files, for the images
            `generated` at the steps that `keras.callbacks.TensorBoard` gives
            to its epochs. By default a notebook shows the grid.
        seed: Seed of the noise codes, an integer.

    Raises:
        ValueError: if a number is out of its range, or without `log_dir` it
            is not made in IPython; and, when training begins, if the model
            has no decoder or the labels do not fit it.
        ImportError: if tensorboard, or without `log_dir` IPython, is not
            installed.

    Example:

    >>> callbacks = [
    ...     keras.callbacks.TensorBoard("logs"),
    ...     SampleGrid(every=5, log_dir="logs/samples"),
    ... ]
    >>> model.fit(dataset, epochs=30, callbacks=callbacks)
    """

    def __init__(
        self,
        labels: Labels | None = None,
        rows: int = 5,
        every: int = 1,
        log_dir: PathLike | None = None,
        seed: int = 0,
    ):
        super().__init__()
        self.labels = labels
        self.rows = check_number("rows", rows, minimum=1, integer=True)
        self.every = check_number("every", every, minimum=1, integer=True)
        if log_dir is not None and pathlib.Path(log_dir).is_file():
            raise ValueError(
                f"`log_dir` must be a folder. Received: the file {log_dir}"
            )
        self.log_dir = log_dir
        self.seed = check_number("seed", seed, minimum=0, integer=True)
        self._writer: Any = None
        if log_dir is None:
            self._display = _NotebookImage("SampleGrid without `log_dir`")
        else:
            _import_tensorboard()

    def on_train_begin(self, logs: Logs = None) -> None:
        if not getattr(self.model, "use_decoder", False):
            raise ValueError(
                "SampleGrid needs a model with a decoder. "
                f"Received: {type(self.model).__name__}"
            )
        self._columns = self._make_columns()
        # Once now, so that wrong labels do not wait for the warm-up's end.
        self._generate()
        if self.log_dir is None:
            self._display.clear()
        else:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        in_warmup = (
            int(self.model.completed_epochs.numpy()) <= self.model.warmup_epochs
        )
        if in_warmup or (epoch + 1) % self.every:
            return
        figure = plot_image_grid(self._generate(), self._titles())
        if self.log_dir is None:
            self._display.show(figure)
            return
        image = tf.io.decode_png(_to_png(figure), channels=3)
        with self._writer.as_default():
            tf.summary.image("generated", image[None], step=epoch)
        self._writer.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        if self._writer is not None:
            self._writer.close()

    def _make_columns(self):
        if self.labels is not None:
            return {n: np.asarray(each) for n, each in self.labels.items()}
        first, *others = self.model.tasks
        for task in self.model.tasks:
            if not isinstance(task, CategoricalTask):
                raise ValueError(
                    "`labels` must be given for a model with continuous "
                    f"tasks. Received: None, and task '{task.name}'"
                )
        classes = np.arange(first.num_classes, dtype="int32")
        return {
            first.name: classes,
            **{task.name: np.zeros_like(classes) for task in others},
        }

    def _generate(self):
        images = self.model.generate(
            {
                name: np.concatenate([each] * self.rows)
                for name, each in self._columns.items()
            },
            seed=self.seed,
        )
        return images.reshape(self.rows, -1, *images.shape[1:])

    def _titles(self):
        """A column's labels, a line a task; of several annotators' labels
        the first."""
        lines = []
        for task in self.model.tasks:
            labels = self._columns[task.name]
            if isinstance(task, CategoricalTask):
                names = task.class_names or range(task.num_classes)
                labels = labels.reshape(len(labels), -1)[:, 0]
                lines.append([str(names[each]) for each in labels])
            else:
                labels = labels.reshape(len(labels), -1, task.num_outputs)[:, 0]
                lines.append(
                    [" ".join(f"{v:.2g}" for v in each) for each in labels]
                )
        return ["\n".join(each) for each in zip(*lines, strict=True)]


class _NotebookImage:
    """A picture in a notebook's output that is replaced by the next one."""

    def __init__(self, user):
        try:
            import IPython
        except ImportError as error:
            raise ImportError(
                f"{user} needs IPython: pip install ipython"
            ) from error
        if IPython.get_ipython() is None:
            raise ValueError(
                f"{user} must be made in a notebook. Received: a Python "
                "session without IPython"
            )
        self._handle = None

    def clear(self):
        """The next picture does not replace one of an earlier run."""
        self._handle = None

    def show(self, figure):
        from IPython.display import Image, display

        # As an image, since notebooks draw figures of pyplot only.
        image = Image(data=_to_png(figure))
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)


def _to_png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _import_tensorboard():
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "SampleGrid with `log_dir` needs tensorboard: "
            "pip install keras_noisyfer[tune]"
        ) from error
