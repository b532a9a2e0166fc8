"""Trains on one or two logical processors; run by test_replicas.py.

`python replicas.py COUNT OUTPUT`: the losses of two epochs and the weights
after them, as an .npz file.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from keras_noisyfer import (
    CategoricalTask,
    ContinuousTask,
    Encoder,
    JointDistributionGAN,
    make_dataset,
)


def main(count, output):
    (processor,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * count
    )
    devices = tf.config.list_logical_devices("CPU")
    assert len(devices) == count
    keras.utils.set_random_seed(0)
    tasks = [
        CategoricalTask("expression", 3, annotators=2),
        ContinuousTask("affect", ("valence", "arousal")),
    ]
    generator = np.random.default_rng(0)
    images = generator.uniform(-1, 1, (32, 32, 32, 3)).astype("float32")
    # The first half has other values and fewer labels than the second, so
    # that no share of a batch is like the whole.
    labels = {
        "expression": generator.integers(0, 3, (32, 2)),
        "affect": generator.uniform(-1, 1, (32, 1, 2)).astype("float32"),
    }
    labels["expression"][0::16] = -1
    labels["affect"][1::16] = np.nan
    labels["affect"][4::8] += 0.5
    labels["affect"] = np.clip(labels["affect"], -1, 1)
    dataset = make_dataset(images, labels, tasks, batch_size=16)

    with tf.distribute.MirroredStrategy(devices).scope():
        model = JointDistributionGAN(
            # Without batch normalisation, whose rounding errors decide which
            # of two equal pixels a max pooling takes; the decoder has one.
            Encoder(tasks, (32, 32, 3), width=1 / 16, dropout=0.0),
            warmup_epochs=1,
            seed=0,
        )
        model.compile(keras.optimizers.SGD(0.05))
    history = model.fit(dataset, epochs=3, verbose=0)
    evaluated = model.evaluate(dataset, return_dict=True, verbose=0)
    np.savez(
        output,
        **{f"history/{name}": each for name, each in history.history.items()},
        **{f"evaluated/{name}": each for name, each in evaluated.items()},
        **{
            f"weight/{variable.path}": variable.numpy()
            for variable in model.variables
            if "seed" not in variable.path
        },
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
