"""Meets a fault on two logical processors; run by test_replicas.py.

`python faulty_replicas.py STATE.npz`
"""

import sys

import keras
import tensorflow as tf
from keras import ops
from training import make_batches, make_model

from keras_noisyfer import NumericalFault, ResumeTraining
from keras_noisyfer.training_state import read_state


class PoisonSecondEpoch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            weight = self.model.encoder.trainable_variables[-1]
            weight.assign(ops.full(weight.shape, float("nan")))


def main(path):
    (processor,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    devices = tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        model = make_model()
        try:
            model.compile(on_nonfinite="skip")
        except ValueError as error:
            assert "a strategy of 2 replicas" in str(error)
        else:
            raise AssertionError
    batches = make_batches(with_index=True)
    try:
        model.fit(
            batches,
            epochs=3,
            verbose=0,
            callbacks=[ResumeTraining(path), PoisonSecondEpoch()],
        )
    except NumericalFault as error:
        assert error.step == 3, error
        # The share of both replicas.
        assert len(set(error.images)) == 16, error
    else:
        raise AssertionError
    header, _ = read_state(path)
    assert header["epoch"] == 1
    # Goes on from there, with other weights at first.
    with strategy.scope():
        model = make_model()
    history = model.fit(
        batches, epochs=2, verbose=0, callbacks=[ResumeTraining(path)]
    ).history
    assert len(history["loss"]) == 2
    assert history["loss"][0] == header["history"]["loss"][0]


if __name__ == "__main__":
    main(sys.argv[1])
