"""Trains with a seed; run by test_determinism.py.

`python seeded_training.py SEED OUTPUT.npz`
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
    crop_and_flip,
    make_dataset,
)

TASKS = [
    CategoricalTask("expression", 7, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]


def main(seed, output):
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (48, 32, 32, 3), "uint8")
    labels = {
        "expression": generator.integers(0, 7, (48, 2)),
        "affect": generator.uniform(-1, 1, (48, 1, 2)).astype("float32"),
    }
    dataset = make_dataset(
        images,
        labels,
        TASKS,
        batch_size=16,
        training=True,
        augmentation=crop_and_flip,
        seed=seed,
    )
    model = JointDistributionGAN(
        Encoder(TASKS, (32, 32, 3), width=1 / 8),
        lambda_joint="auto",
        gamma="auto",
        warmup_epochs=1,
        seed=seed,
    )
    model.compile()
    history = model.fit(dataset, epochs=3, verbose=0).history
    arrays = {f"history/{name}": each for name, each in history.items()}
    for index, variable in enumerate(model.variables):
        arrays[f"variable/{index}"] = np.array(variable.value)
    np.savez(output, **arrays)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
