"""A small search, as a program: `search.py DIRECTORY [MAX_TRIALS]`.

With KerasTuner's environment variables it is the chief or a worker.
"""

import sys

import keras_tuner
import numpy as np

from keras_noisyfer import CategoricalTask, LabelledImages
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.tuning.hyper_model import JointDistributionHyperModel
from keras_noisyfer.tuning.isolated_trials import isolated

TASKS = [CategoricalTask("object", 3, annotators=2)]


def make_data(count=24, tasks=TASKS):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 32, 32, 3), "uint8")
    labels = {
        task.name: generator.integers(0, 3, (count, task.annotators))
        if isinstance(task, CategoricalTask)
        else generator.uniform(
            -1, 1, (count, task.annotators, task.num_outputs)
        )
        for task in tasks
    }
    return LabelledImages(ImageArray(images), labels, tasks)


def make_hypermodel(tasks=TASKS, **kwargs):
    train, held_out = make_data(tasks=tasks).split((16, 8))
    # Plain training, which is traced in a moment.
    options = {"width": 1 / 16, "batch_size": 8, "warmup_epochs": 9}
    return JointDistributionHyperModel(train, held_out, **{**options, **kwargs})


def make_tuner(directory, tuner_class=keras_tuner.RandomSearch, **kwargs):
    options = {"seed": 0, "objective": "val_consensus_loss"}
    if tuner_class is keras_tuner.RandomSearch:
        options["max_trials"] = 2
    return isolated(tuner_class)(
        kwargs.pop("hypermodel", None) or make_hypermodel(),
        directory=directory,
        project_name="search",
        **{**options, **kwargs},
    )


if __name__ == "__main__":
    directory, *trials = sys.argv[1:]
    tuner = make_tuner(directory, max_trials=int(*trials or [2]))
    tuner.search(epochs=2, verbose=2)
