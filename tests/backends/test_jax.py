"""The same models on the JAX backend; `make test-jax` runs these."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_noisyfer import (
    AIR,
    CategoricalTask,
    ContinuousTask,
    Encoder,
    FusedAdam,
    JointDistributionGAN,
    MultiTaskModel,
    make_dataset,
)

pytestmark = pytest.mark.jax

FOLDER = pathlib.Path(__file__).parent
TASKS = [
    CategoricalTask("expression", 3, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]


def run(backend, script, *arguments, **environment):
    return subprocess.run(
        [sys.executable, str(FOLDER / script), *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend, **environment},
        check=True,
    )


def make_model(**kwargs):
    encoder = Encoder(TASKS, (32, 32, 3), width=1 / 16, dropout=0.0)
    model = JointDistributionGAN(encoder, **kwargs)
    model.compile(FusedAdam(1e-3))
    return model


def make_arrays(count=8):
    generator = np.random.default_rng(0)
    images = generator.uniform(-1, 1, (count, 32, 32, 3)).astype("float32")
    labels = {
        "expression": generator.integers(-1, 3, (count, 2)),
        "affect": generator.uniform(-1, 1, (count, 1, 2)).astype("float32"),
    }
    return images, labels


def values(variables):
    return [np.array(each.value) for each in variables]


# === The step ===


@pytest.mark.parametrize(
    "method",
    [
        "joint_distribution_gan",
        "automatic_weights",
        "remedies",
        "co_teaching",
        "crowd_layer",
        pytest.param("ltnet", marks=pytest.mark.smoke),
    ],
)
def test_steps_equal_those_of_tensorflow(method, tmp_path):
    arrays = []
    for backend in ("tensorflow", "jax"):
        output = tmp_path / f"{backend}.npz"
        # The second one loads what the first one saved.
        run(backend, "one_step.py", method, tmp_path / "model.keras", output)
        with np.load(output) as file:
            arrays.append(dict(file))
    expected, actual = arrays
    assert set(actual) == set(expected)
    assert any(name.startswith("weight/") for name in expected)
    for name, array in expected.items():
        np.testing.assert_allclose(
            actual[name], array, rtol=1e-3, atol=1e-5, err_msg=name
        )


def test_fit_save_and_load(tmp_path):
    model = make_model(warmup_epochs=1, discriminator_steps=2, seed=0)
    assert model.jit_compile
    images, labels = make_arrays()
    dataset = make_dataset(images, labels, TASKS, batch_size=4)
    before = values(model.discriminator.variables)

    history = model.fit(dataset, validation_data=dataset, verbose=0).history
    # Warm-up: the discriminator rests.
    for first, second in zip(
        before, values(model.discriminator.variables), strict=True
    ):
        np.testing.assert_array_equal(first, second)
    assert history["discriminator_loss"] == [0.0]
    assert int(model.optimizer.iterations) == 2
    assert int(model.discriminator_optimizer.iterations) == 0

    history = model.fit(dataset, verbose=0).history
    assert int(model.optimizer.iterations) == 4
    assert int(model.discriminator_optimizer.iterations) == 4
    assert history["discriminator_loss"][0] > 0
    assert history["loss"][0] == pytest.approx(
        history["expression_loss"][0]
        + history["affect_loss"][0]
        + 0.4 * history["generator_joint_loss"][0],
        rel=1e-5,
    )
    moved = [
        not np.array_equal(first, second)
        for first, second in zip(
            before, values(model.discriminator.variables), strict=True
        )
    ]
    # Singular vectors and kernels.
    assert np.mean(moved) > 0.9

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.jit_compile
    for first, second in zip(model.variables, again.variables, strict=True):
        if "seed" in first.path:
            # A model's file does not have the state of its seeds.
            second.assign(np.array(first.value))
        np.testing.assert_array_equal(first.value, second.value)
    # With the state of both optimizers they go on alike.
    logs = [
        each.train_on_batch(images, labels, return_dict=True)
        for each in (model, again)
    ]
    for name in logs[0]:
        assert logs[1][name] == pytest.approx(logs[0][name], abs=1e-6), name
    predictions = again.predict(images, verbose=0)
    np.testing.assert_allclose(
        predictions["expression"].sum(axis=1), 1.0, rtol=1e-5
    )
    generated = again.generate(
        {"expression": np.array([0, 2]), "affect": np.zeros((2, 2))}, seed=1
    )
    assert generated.shape == (2, 32, 32, 3)


def test_needs_no_tensorflow():
    # A module that is None cannot be imported.
    program = (
        "import sys; sys.modules['tensorflow'] = None; import keras_noisyfer;"
        "print('make_dataset' in dir(keras_noisyfer))"
    )
    output = subprocess.check_output([sys.executable, "-c", program])
    assert output.split()[-1] == b"True"


# === What another backend cannot run ===


def test_air_is_tensorflows_alone():
    with pytest.raises(RuntimeError, match="KERAS_BACKEND=tensorflow.*jax$"):
        AIR(Encoder(TASKS, (32, 32, 3), width=1 / 16))


def test_other_backends_are_refused():
    result = subprocess.run(
        [sys.executable, "-c", "import keras_noisyfer"],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "ImportError: keras_noisyfer's models need KERAS_BACKEND=tensorflow "
        "or jax. Received: numpy"
    )


@pytest.mark.smoke
def test_a_refused_call_leaves_the_model_as_it_was():
    encoder = Encoder(TASKS, (32, 32, 3), width=1 / 16)
    model = MultiTaskModel(encoder)
    model.compile(FusedAdam(1e-3))
    images, labels = make_arrays()
    model.fit(images, labels, batch_size=4, verbose=0)
    before = values(model.variables + model.optimizer.variables)
    pixels = images.astype("uint8")
    missing = {"affect": labels["affect"]}
    for call, message in (
        (lambda: model.predict(pixels, verbose=0), "Images must be floating"),
        (lambda: model.fit(pixels, labels, verbose=0), "Images must be float"),
        (lambda: model.evaluate(images, verbose=0), "images alone"),
        (lambda: model.fit(images, missing, verbose=0), "exactly the keys"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
        after = values(model.variables + model.optimizer.variables)
        for first, second in zip(before, after, strict=True):
            np.testing.assert_array_equal(first, second)
    assert model.predict(images, verbose=0)["affect"].shape == (8, 2)


def test_values_of_arrays_are_checked():
    model = MultiTaskModel(Encoder(TASKS, (32, 32, 3), width=1 / 16))
    model.compile(FusedAdam(1e-3))
    images, labels = make_arrays()
    with pytest.raises(ValueError, match="Images must be in .* up to 1.9"):
        model.fit(images * 2, labels, verbose=0)
    labels["expression"][3, 1] = 3
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="task 'expression'.*Received: 3"):
            call(images, labels, verbose=0)


def test_loss_scaling_is_refused():
    model = MultiTaskModel(Encoder(TASKS, (32, 32, 3), width=1 / 16))
    optimizer = keras.optimizers.LossScaleOptimizer(FusedAdam(1e-3))
    with pytest.raises(ValueError, match="`dtype` must be .* on JAX"):
        model.compile(optimizer)
