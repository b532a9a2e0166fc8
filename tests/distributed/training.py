"""The training that the scripts in this folder spread over devices."""

import keras
import numpy as np

from keras_noisyfer import (
    CategoricalTask,
    ContinuousTask,
    Encoder,
    JointDistributionGAN,
    make_dataset,
)

TASKS = [
    CategoricalTask("expression", 3, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]


def make_model():
    keras.utils.set_random_seed(0)
    model = JointDistributionGAN(
        # Without batch normalisation, whose rounding errors decide which of
        # two equal pixels a max pooling takes; the decoder has one.
        Encoder(TASKS, (32, 32, 3), width=1 / 16, dropout=0.0),
        lambda_joint="auto",
        gamma="auto",
        warmup_epochs=1,
        seed=0,
    )
    model.compile(keras.optimizers.SGD(0.05))
    return model


def make_batches(**options):
    """Two batches whose parts are unlike each other and the whole."""
    generator = np.random.default_rng(0)
    images = generator.uniform(-1, 1, (32, 32, 32, 3)).astype("float32")
    labels = {
        "expression": generator.integers(0, 3, (32, 2)),
        "affect": generator.uniform(-1, 1, (32, 1, 2)).astype("float32"),
    }
    labels["expression"][0::16] = -1
    labels["affect"][1::16] = np.nan
    labels["affect"][4::8] += 0.5
    labels["affect"] = np.clip(labels["affect"], -1, 1)
    return make_dataset(images, labels, TASKS, batch_size=16, **options)


def train(model, output, callbacks=()):
    """Trains, evaluates, and writes losses and weights as an .npz file."""
    dataset = make_batches()
    history = model.fit(dataset, epochs=3, verbose=0, callbacks=list(callbacks))
    evaluated = model.evaluate(dataset, return_dict=True, verbose=0)
    np.savez(
        output,
        **{f"history/{name}": each for name, each in history.history.items()},
        **{f"evaluated/{name}": each for name, each in evaluated.items()},
        **{
            f"weight/{variable.path}": np.array(variable.value)
            for variable in model.variables
            if "seed" not in variable.path
        },
    )


def assert_equal_training(first, second):
    """Asserts that two trainings have the same losses and weights.

    Args:
        first: Path of an .npz file that `train` has written.
        second: Another one.
    """
    with np.load(first) as file:
        first = dict(file)
    with np.load(second) as file:
        second = dict(file)
    assert set(first) == set(second)
    assert {"history/affect_loss", "history/discriminator_loss"} < set(first)
    assert sum(name.startswith("weight/") for name in first) > 100
    for name, expected in first.items():
        np.testing.assert_allclose(
            second[name], expected, rtol=1e-4, atol=1e-5, err_msg=name
        )
