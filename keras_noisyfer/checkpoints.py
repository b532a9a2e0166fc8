"""Files of a model in the course of training."""

import keras

from keras_noisyfer.distribution import is_chief


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

    def on_train_batch_end(self, batch, logs=None):
        if is_chief():
            with _UndistributedArrays():
                super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        if is_chief():
            with _UndistributedArrays():
                super().on_epoch_end(epoch, logs)


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
