"""Trains on one or several logical processors; run by test_replicas.py.

`python replicas.py COUNT OUTPUT.npz`
"""

import sys

import tensorflow as tf
from training import make_model, train


def main(count, output):
    (processor,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * count
    )
    devices = tf.config.list_logical_devices("CPU")
    assert len(devices) == count
    with tf.distribute.MirroredStrategy(devices).scope():
        model = make_model()
    train(model, output)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
