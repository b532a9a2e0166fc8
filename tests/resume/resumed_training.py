"""A small run that goes on where it was: `python resumed_training.py FOLDER`.

Adds the loss of every epoch to FOLDER/losses.json when it is through.
"""

import json
import pathlib
import sys

import keras
import numpy as np

import keras_noisyfer as kn

TASKS = [
    kn.CategoricalTask("mood", 3, annotators=2),
    kn.ContinuousTask("affect", ("valence", "arousal")),
]
EPOCHS = 4
BATCHES = 5


def make_data(batch_size=4):
    generator = np.random.default_rng(0)
    count = BATCHES * batch_size
    images = generator.integers(0, 256, (count, 32, 32, 3), "uint8")
    labels = {
        "mood": generator.integers(-1, 3, (count, 2)).astype("int32"),
        "affect": generator.uniform(-1, 1, (count, 1, 2)).astype("float32"),
    }
    return kn.make_dataset(
        images,
        labels,
        TASKS,
        batch_size,
        training=True,
        augmentation=kn.crop_and_flip,
        seed=3,
    )


def make_encoder():
    return kn.Encoder(
        TASKS,
        (32, 32, 3),
        width=1 / 16,
        noise_code_size=4,
        dropout=0.3,
        batch_normalization=True,
    )


def make_model(**options):
    # The warm-up ends in the middle, so that both kinds of steps are resumed.
    options = {
        "lambda_joint": "auto",
        "gamma": "auto",
        "warmup_epochs": 1,
        "seed": 5,
        **options,
    }
    model = kn.JointDistributionGAN(make_encoder(), **options)
    model.compile(kn.FusedAdam(2e-3), kn.FusedAdam(1e-3))
    return model


def main(folder):
    folder = pathlib.Path(folder)
    keras.utils.set_random_seed(1)
    data, model = make_data(), make_model()
    resume = kn.ResumeTraining(folder / "state.npz", save_freq=2)
    history = model.fit(data, epochs=EPOCHS, callbacks=[resume], verbose=0)
    text = json.dumps(history.history)
    (folder / "losses.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
