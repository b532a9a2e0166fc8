"""Whether a long training holds its memory.

Trains a small joint-distribution GAN for 2,000 steps and prints the resident
memory along the way, and how much it has grown since step 200, by which all
that is made once has been made.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from train_step import environment, make_tasks, resident_mib

from keras_noisyfer import Encoder, JointDistributionGAN, make_dataset
from keras_noisyfer.results import write_json
from noisyfer.flags import number_flag

WARM_STEPS = 200
MAX_GROWTH = 0.02
IMAGES, BATCH_SIZE = 160, 8


class ResidentMemory(keras.callbacks.Callback):
    """Keeps and prints the memory every so many steps."""

    def __init__(self, every):
        super().__init__()
        self.every = every
        self.steps, self.mib = [], []
        self._step = 0

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        if self._step % self.every == 0:
            self.steps.append(self._step)
            self.mib.append(resident_mib())
            print(f"step {self._step:,}: {self.mib[-1]:.1f} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    count = number_flag(int, minimum=2 * WARM_STEPS)
    add("--steps", type=count, default=2000)
    add("--output", type=pathlib.Path, help="JSON file")
    flags = parser.parse_args()
    tasks, _ = make_tasks("emotion")
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (IMAGES, 32, 32, 3), "uint8")
    labels = {
        "expression": generator.integers(0, 7, IMAGES),
        "affect": generator.uniform(-1, 1, (IMAGES, 2)).astype("float32"),
    }
    dataset = make_dataset(
        images, labels, tasks, batch_size=BATCH_SIZE, training=True
    )
    model = JointDistributionGAN(
        Encoder(tasks, (32, 32, 3), width=1 / 16),
        lambda_joint="auto",
        gamma="auto",
        seed=0,
    )
    model.compile()
    memory = ResidentMemory(WARM_STEPS)
    # Epochs with evaluation, as a training has them.
    model.fit(
        dataset,
        epochs=-(-flags.steps // (IMAGES // BATCH_SIZE)),
        validation_data=make_dataset(images, labels, tasks, batch_size=40),
        callbacks=[memory],
        verbose=0,
    )
    growth = memory.mib[-1] / memory.mib[0] - 1
    print(
        f"growth from step {memory.steps[0]:,} to {memory.steps[-1]:,}: "
        f"{100 * growth:.2f} %, at most {100 * MAX_GROWTH:.0f} % wanted"
    )
    if flags.output:
        results = {
            "steps": memory.steps,
            "resident_mib": memory.mib,
            "growth": growth,
            "environment": environment(),
        }
        write_json(flags.output, results)


if __name__ == "__main__":
    main()
