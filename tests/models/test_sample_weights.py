"""Weights of the samples, and labels that a whole data set lacks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import CASES, make_data, make_encoder

from keras_noisyfer import losses, metrics
from keras_noisyfer.datasets import LabelledImages
from keras_noisyfer.models import (
    AIR,
    MultiTaskModel,
)
from keras_noisyfer.stochastic_admm import StochasticADMM

TASKS = CASES["expression_and_affect"]
COUNT = 8


@pytest.fixture(scope="module")
def encoder():
    # Of some weights the predictions are so alike that their concordance is
    # rounding.
    keras.utils.set_random_seed(0)
    return make_encoder(TASKS)


def test_weights_of_a_task_are_its_own(encoder):
    images, labels = make_data(TASKS, COUNT)
    model = MultiTaskModel(encoder)
    model.compile(run_eagerly=True)
    weights = {"expression": np.arange(8) < 4, "affect": np.ones(8)}
    got = model.evaluate(
        images, labels, sample_weight=weights, return_dict=True, verbose=0
    )
    half = {name: each[:4] for name, each in labels.items()}
    first = model.evaluate(images[:4], half, return_dict=True, verbose=0)
    whole = model.evaluate(images, labels, return_dict=True, verbose=0)
    for name, value in got.items():
        if name != "loss":
            expected = first if name.startswith("expression") else whole
            assert value == pytest.approx(expected[name], rel=1e-5), name


@pytest.mark.parametrize("missing", [False, True])
def test_evaluation_is_that_of_the_weighed_images(encoder, missing):
    """In batches that are weighed very differently, and traced."""
    images, labels = make_data(TASKS, COUNT, missing=missing)
    weights = np.array([0, 0, 0, 3, 0, 1, 2, 1], "float32")
    model = MultiTaskModel(encoder)
    model.compile(loss={"affect": losses.MeanSquaredError()})
    # Each label stream is a mean of its own, so that one has to stand alone.
    clean = {
        "expression": labels["expression"][:, 0],
        "affect": labels["affect"][:, 0],
    }
    got = model.evaluate(
        images,
        clean,
        sample_weight=weights,
        batch_size=4,
        return_dict=True,
        verbose=0,
    )
    repeats = weights.astype(int)
    images = np.repeat(images, repeats, axis=0)
    clean = {name: np.repeat(a, repeats, 0) for name, a in clean.items()}
    expected = model.evaluate(
        images, clean, batch_size=7, return_dict=True, verbose=0
    )
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        # The sum's mean is over the images with any label.
        if name != "loss" or not missing:
            assert got[name] == pytest.approx(value, rel=1e-4), name


def test_concordance_counts_weights():
    generator = np.random.default_rng(0)
    labels = generator.uniform(-1, 1, (6, 2, 1)).astype("float32")
    predictions = generator.uniform(-1, 1, (6, 2, 1)).astype("float32")
    labels[1, 0] = np.nan
    weights = np.array([2, 1, 0, 3, 1, 1])
    repeated = np.repeat(labels, weights, 0), np.repeat(predictions, weights, 0)
    for scale in (1.0, 0.01):
        np.testing.assert_allclose(
            losses.concordance_loss(
                labels, predictions, "population", scale * weights
            ),
            losses.concordance_loss(*repeated, "population"),
            rtol=1e-5,
        )
    metric = metrics.ConcordanceCorrelation(("x",))
    for part in (slice(0, 2), slice(2, 6)):
        metric.update_state(
            labels[part], predictions[part, 0], 0.01 * weights[part]
        )
    expected = metrics.ConcordanceCorrelation(("x",))
    expected.update_state(repeated[0], repeated[1][:, 0])
    assert float(metric.result()["concordance_ccc"]) == pytest.approx(
        float(expected.result()["concordance_ccc"]), rel=1e-4
    )


def test_admm_weighs_the_images():
    generator = np.random.default_rng(0)
    features = generator.uniform(0, 1, (6, 5)).astype("float32")
    labels = generator.integers(0, 3, 6)
    weights = np.array([1, 0, 1, 1, 0, 1])

    def solve(labels):
        solver = StochasticADMM(
            features, labels, np.zeros((5, 3)), 1.0, 0.0, 10.0, 100.0, weights
        )
        for _ in range(3):
            solver.step(features, labels, weights)
        return solver.average.numpy(), solver.objective().numpy()

    others = np.where(weights == 0, (labels + 1) % 3, labels)
    for one, other in zip(solve(labels), solve(others), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.any(solve(labels)[0] != solve((others + 1) % 3)[0])


def test_air_trains_with_weights(encoder):
    images, labels = make_data(TASKS, COUNT)
    weights = np.r_[np.ones(4), np.zeros(4)]
    found = []
    for change in (0, 1):
        labels["expression"][4:] = (labels["expression"][4:] + change) % 7
        model = AIR(encoder)
        model.compile(run_eagerly=True)
        keras.utils.set_random_seed(0)
        model.fit(
            images, labels, batch_size=8, sample_weight=weights, verbose=0
        )
        found.append(model.heads["expression"].kernel.numpy())
    np.testing.assert_array_equal(*found)


# === Labels that a whole data set lacks ===


def test_what_has_no_label_has_no_value(encoder):
    images, labels = make_data(TASKS, COUNT)
    model = MultiTaskModel(encoder)
    model.compile()
    labels["affect"][:] = np.nan
    got = model.evaluate(
        images, labels, batch_size=4, return_dict=True, verbose=0
    )
    assert np.isnan([v for k, v in got.items() if k.startswith("affect")]).all()
    assert got["loss"] == pytest.approx(got["expression_loss"], rel=1e-6)
    labels["expression"][:] = -1
    got = model.evaluate(images, labels, return_dict=True, verbose=0)
    assert np.isnan(list(got.values())).all()


def test_a_mean_loss_counts_the_images_that_have_the_label(encoder):
    images, labels = make_data(TASKS, COUNT)
    labels = {name: each[:, 0] for name, each in labels.items()}
    labels["expression"][[0, 1, 2, 5]] = -1
    # Of one label there is no concordance, in the first batch.
    labels["affect"][1:4] = np.nan
    model = MultiTaskModel(encoder)
    model.compile(run_eagerly=True)
    got = model.evaluate(
        images, labels, batch_size=4, return_dict=True, verbose=0
    )
    kept = labels["expression"] >= 0
    alone = model.evaluate(
        images[kept],
        {name: each[kept] for name, each in labels.items()},
        return_dict=True,
        verbose=0,
    )
    assert got["expression_loss"] == pytest.approx(alone["expression_loss"])
    second = model.evaluate(
        images[4:],
        {name: each[4:] for name, each in labels.items()},
        return_dict=True,
        verbose=0,
    )
    assert got["affect_loss"] == pytest.approx(second["affect_loss"])


def test_training_goes_on_over_a_batch_without_labels(encoder):
    images, labels = make_data(TASKS, COUNT)
    labels["expression"][:4] = -1
    labels["affect"][:4] = np.nan
    model = MultiTaskModel(encoder)
    model.compile(run_eagerly=True)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    history = model.fit(data, verbose=0).history
    assert np.isfinite([each[0] for each in history.values()]).all()
    nothing = {name: each[:4] for name, each in labels.items()}
    with pytest.raises(ValueError, match="`validation_data` must have labels"):
        model.fit(data, validation_data=(images[:4], nothing), verbose=0)


def test_class_weights_are_refused(encoder):
    images, labels = make_data(TASKS, COUNT)
    model = MultiTaskModel(encoder)
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="`class_weight` must be None"):
        model.fit(images, labels, class_weight={0: 2.0}, verbose=0)
    with pytest.raises(ValueError, match="`class_weight` must be None"):
        model.train_on_batch(images, labels, class_weight={0: 2.0})


def test_what_is_not_compiled_or_not_batched_is_told(encoder):
    images, labels = make_data(TASKS, COUNT)
    model = MultiTaskModel(encoder)
    with pytest.raises(ValueError, match=r"`compile\(\)` before `fit"):
        model.fit(images, labels, verbose=0)
    with pytest.raises(ValueError, match=r"before `train_on_batch\(\)`"):
        model.train_on_batch(images, labels)
    # Its features are gathered first.
    with pytest.raises(ValueError, match=r"`compile\(\)` before `fit"):
        AIR(encoder).fit(images, labels)
    model.compile(run_eagerly=True)
    data = LabelledImages(images, labels, TASKS)
    for call in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=r"`x` must be .*`batches\(\)`"):
            call(data, verbose=0)
