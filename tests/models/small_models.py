"""Small models and data that the tests of the models share."""

import numpy as np
import tensorflow as tf

from keras_noisyfer.models import JointDistributionGAN
from keras_noisyfer.networks import Encoder
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

CASES = {
    "three_label_sets": [CategoricalTask("object", 4, annotators=3)],
    "expression_and_affect": [
        CategoricalTask("expression", 7, annotators=2),
        ContinuousTask("affect", ("valence", "arousal")),
    ],
    "single_task": [ContinuousTask("pain", ("level",))],
}
SHAPE = {"width": 1 / 16, "noise_code_size": 5}


def make_encoder(tasks, **kwargs):
    return Encoder(tasks, (32, 32, 3), dropout=0.0, **SHAPE, **kwargs)


def make_data(tasks, count=8, clean=False, missing=False):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (count, 32, 32, 3)).astype("float32")
    labels = {}
    for task in tasks:
        shape = (count,) if clean else (count, task.annotators)
        if isinstance(task, CategoricalTask):
            labels[task.name] = rng.integers(
                -1 if missing else 0, task.num_classes, shape
            ).astype("int32")
        else:
            values = rng.uniform(-1, 1, (*shape, task.num_outputs))
            if missing:
                values[0] = np.nan
            labels[task.name] = values.astype("float32")
    return images, labels


def make_dataset(tasks, batch_size=4, **kwargs):
    data = tf.data.Dataset.from_tensor_slices(make_data(tasks, **kwargs))
    return data.batch(batch_size, drop_remainder=True)


def compiled(model, run_eagerly=True):
    # Tracing the step takes longer than a few eager ones, of which Keras' own
    # Adam would take a third.
    optimizers = [FusedAdam(1e-3)]
    if isinstance(model, JointDistributionGAN):
        optimizers.append(FusedAdam(2e-3))
    model.compile(*optimizers, run_eagerly=run_eagerly)
    return model


def values(variables):
    return [np.array(each.value) for each in variables]


def changed(before, after):
    pairs = zip(before, after, strict=True)
    return [not np.array_equal(first, second) for first, second in pairs]
