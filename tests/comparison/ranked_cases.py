"""Noisy labels of images that tell their class, and what is predicted."""

import numpy as np

import keras_noisyfer as kn
from keras_noisyfer.datasets.image_sources import ImageArray

COUNT = 400
TASKS = [
    kn.CategoricalTask("mood", 3, annotators=2),
    kn.ContinuousTask("pain", ("a", "b")),
]


def make_data(count=COUNT):
    """Images that tell their class, and noisy labels."""
    rng = np.random.default_rng(0)
    mood = rng.integers(0, 3, count)
    images = np.empty((count, 32, 32, 3), "uint8")
    images[:] = (80 * mood)[:, None, None, None]
    noisy = np.stack([mood, mood], axis=1)
    wrong = rng.random((count, 2)) < 0.3
    noisy[wrong] = rng.integers(0, 3, wrong.sum())
    noisy[rng.random((count, 2)) < 0.1] = -1
    pain = (mood[:, None, None] - 1 + rng.normal(0, 0.3, (count, 1, 2))).clip(
        -1, 1
    )
    pain[:20] = np.nan
    labels = {"mood": noisy.astype("int32"), "pain": pain.astype("float32")}
    clean = {"mood": mood.astype("int32")}
    return kn.LabelledImages(ImageArray(images), labels, TASKS, clean)


def predictions(data, right, seed=1):
    """Of a method that gets a fraction of the classes right."""
    rng = np.random.default_rng(seed)
    mood = data.clean["mood"].copy()
    wrong = rng.random(len(mood)) >= right
    mood[wrong] = (mood[wrong] + 1) % 3
    pain = mood[:, None] - 1 + rng.normal(0, 0.1, (len(mood), 2))
    return {"mood": np.eye(3)[mood], "pain": pain}
