"""What is told of the metrics that callbacks monitor, and of the images."""

import math

import keras

from keras_noisyfer.metrics import monitor_modes


class WatchMonitors(keras.callbacks.Callback):
    """Tells Keras' callbacks which values of a metric are better, and stops
    where one monitors a task without labels.

    Keras looks for that in its own containers of metrics alone.

    Args:
        callbacks: The callbacks of a call of `fit`.

    Raises:
        ValueError: after the first epoch, if a monitored value is of a task
            that the data has no label of.
    """

    # On JAX the next step would take the variables' values meanwhile.
    async_safe = keras.backend.backend() == "tensorflow"

    def __init__(self, callbacks):
        super().__init__()
        self._watched = [
            each
            for each in callbacks
            if isinstance(getattr(each, "monitor", None), str)
        ]

    def on_train_begin(self, logs=None):
        self._modes = monitor_modes(self.model.metrics)
        for each in self._watched:
            name = each.monitor.removeprefix("val_")
            if getattr(each, "mode", None) == "auto" and name in self._modes:
                each.mode = self._modes[name]

    def on_epoch_end(self, epoch, logs=None):
        for each in self._watched:
            name = each.monitor
            if name.removeprefix("val_") in self._modes and math.isnan(
                (logs or {}).get(name, 0.0)
            ):
                data = "validation_data" if name.startswith("val_") else "x"
                raise ValueError(
                    f"`callbacks` must monitor a task with labels: `{data}` "
                    f"has none for {name}. Received: "
                    f"{type(each).__name__} of {name}, which is NaN"
                )


class WatchScale(keras.callbacks.Callback):
    """Warns after the first batch if no image has a value below 0."""

    async_safe = keras.backend.backend() == "tensorflow"

    def on_train_begin(self, logs=None):
        self._seen = False

    def on_train_batch_end(self, batch, logs=None):
        if not self._seen:
            self._seen = True
            self.model.tell_scale()
