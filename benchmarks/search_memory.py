"""How the memory of a search grows from trial to trial.

Runs small trials, each in a process of its own as `isolated` has it, and
prints the resident memory of the searching process after each.
"""

import argparse
import pathlib
import tempfile

import keras_tuner
import numpy as np
from train_step import resident_mib

from keras_noisyfer import CategoricalTask, LabelledImages
from keras_noisyfer.datasets import ImageArray
from keras_noisyfer.results import write_json
from keras_noisyfer.tuning import JointDistributionHyperModel, isolated


def make_hypermodel():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (24, 32, 32, 3), "uint8")
    labels = {"object": generator.integers(0, 3, (24, 2))}
    tasks = [CategoricalTask("object", 3, annotators=2)]
    data = LabelledImages(ImageArray(images), labels, tasks)
    # Plain training: what is measured is not the step.
    return JointDistributionHyperModel(
        *data.split((16, 8)), width=1 / 16, batch_size=8, warmup_epochs=9
    )


class Measured(isolated(keras_tuner.RandomSearch)):
    """Keeps the memory after each trial."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.resident = []

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        self.resident.append(resident_mib())
        print(f"trial {trial.trial_id}: {self.resident[-1]:.1f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--output", type=pathlib.Path, help="JSON file")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tuner = Measured(
            make_hypermodel(),
            "val_consensus_loss",
            max_trials=flags.trials,
            seed=0,
            directory=folder,
        )
        tuner.search(epochs=1, verbose=0)
    growth = tuner.resident[-1] / tuner.resident[0] - 1
    print(f"growth after the first trial: {100 * growth:.1f} %")
    if flags.output:
        results = {"resident_mib": tuner.resident, "growth": growth}
        write_json(flags.output, results)


if __name__ == "__main__":
    main()
