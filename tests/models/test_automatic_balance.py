import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import (
    CASES,
    compiled,
    make_data,
    make_dataset,
    make_encoder,
    values,
)

from keras_noisyfer.batches import Batch
from keras_noisyfer.models import JointDistributionGAN, balance
from keras_noisyfer.models.balance import (
    GradientRatio,
    joint_gradient,
    task_gradients,
)

TASKS = CASES["expression_and_affect"]
HEADS = ("mean", "log_variance", "label_streams")


def make_model(**kwargs):
    weights = {"lambda_joint": "auto", "gamma": "auto", **kwargs}
    return JointDistributionGAN(make_encoder(TASKS), seed=0, **weights)


def test_ratio_follows_the_moving_averages():
    ratio = GradientRatio((0.1, 3.0), share=0.5, name="ratio")
    assert float(ratio.value) == 1.0
    ratio.update(tf.constant([[3.0, 4.0]]), tf.constant([[0.0, 2.0]]))
    # sqrt(25 / 4) / 2, whatever the decay.
    assert float(ratio.value) == pytest.approx(1.25, rel=1e-5)
    ratio.update(tf.constant([[0.0, 1.0]]), tf.constant([[6.0, 0.0]]))
    expected = np.sqrt((0.99 * 25 + 1) / (0.99 * 4 + 36)) / 2
    assert float(ratio.value) == pytest.approx(expected, rel=1e-5)
    # The mean over both steps is what the logs have.
    assert float(ratio.tracker.result()) == pytest.approx(
        (1.25 + expected) / 2, rel=1e-5
    )


@pytest.mark.parametrize(
    ("followed", "weighed", "bound"), [(9.0, 0.0, 3.0), (0.0, 9.0, 0.1)]
)
def test_ratio_is_bounded(followed, weighed, bound):
    ratio = GradientRatio((0.1, 3.0), name="ratio")
    ratio.update(tf.fill([2, 2], followed), tf.fill([2, 2], weighed))
    assert float(ratio.value) == pytest.approx(bound)


def test_gradients_are_those_of_the_objective():
    """Summed over the batch, the gradient with respect to what the linear
    heads read is that with respect to their biases, times their kernels."""
    model = make_model()
    images, labels = make_data(TASKS, missing=True)
    labels = {name: tf.constant(each) for name, each in labels.items()}
    batch = Batch(tf.constant(images), labels)
    heads = [model.encoder.get_layer(name) for name in HEADS]
    biases = [head.bias.value for head in heads]
    with tf.GradientTape(persistent=True) as tape:
        outputs, encoded, decoded = model.make_tuples(batch, training=False)
        losses = model.compute_task_losses(labels, outputs["labels"])
        joint, _ = model.generator_joint_loss(encoded, decoded, training=False)
    features = model.discriminator.image_stream(images)
    features = tf.concat([features, features], axis=0)
    measured = [
        *task_gradients(model, batch, outputs),
        joint_gradient(model, batch, outputs, encoded, features),
    ]
    parts = (losses["expression"], losses["affect"], joint)
    for gradient, part in zip(measured, parts, strict=True):
        of_biases = tape.gradient(part, biases, unconnected_gradients="zero")
        expected = sum(
            tf.linalg.matvec(head.kernel.value, each)
            for head, each in zip(heads, of_biases, strict=True)
        )
        assert gradient.shape == outputs["features"].shape
        assert float(tf.norm(expected)) > 1e-4
        np.testing.assert_allclose(
            tf.reduce_sum(gradient, axis=0), expected, rtol=1e-3, atol=1e-6
        )


@pytest.mark.slow
@pytest.mark.smoke
def test_weights_are_in_the_logs_and_in_the_file(tmp_path):
    model = compiled(make_model(warmup_epochs=1))
    history = model.fit(
        make_dataset(TASKS, count=4), epochs=2, verbose=0
    ).history
    # There is no joint loss in the warm-up.
    assert history["lambda_joint"][0] == 0
    assert 0.05 <= history["lambda_joint"][1] <= 1.0
    assert all(0.1 <= each <= 10 for each in history["gamma"])
    assert history["gamma"][0] != history["gamma"][1]
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert (loaded.lambda_joint, loaded.gamma) == ("auto", "auto")
    for first, second in (
        (model.lambda_ratio, loaded.lambda_ratio),
        (model.gamma_ratio, loaded.gamma_ratio),
    ):
        np.testing.assert_array_equal(first.squares, second.squares)
        assert float(first.value) == float(second.value)
        assert np.all(first.squares.numpy() > 0)


@pytest.mark.slow
@pytest.mark.smoke
def test_automatic_weights_weigh_the_losses(monkeypatch):
    # An untrained discriminator's gradient is short.
    monkeypatch.setattr(balance, "LAMBDA_BOUNDS", (0.05, 1000.0))
    data = make_dataset(TASKS, count=4)

    def train(**weights):
        keras.utils.set_random_seed(0)
        model = compiled(make_model(**weights))
        logs = model.fit(data, verbose=0).history
        return values(model.encoder.trainable_variables), logs

    automatic, logs = train()
    # Of one batch, the logs have the weights themselves.
    weights = {name: logs[name][0] for name in ("lambda_joint", "gamma")}
    assert weights["lambda_joint"] > 1.0
    fixed, _ = train(**weights)
    other, _ = train(lambda_joint=weights["lambda_joint"], gamma=5.0)
    for first, second in zip(automatic, fixed, strict=True):
        np.testing.assert_allclose(first, second, atol=2e-6)
    assert any(
        np.abs(first - second).max() > 1e-4
        for first, second in zip(automatic, other, strict=True)
    )


def test_gamma_needs_tasks_of_both_kinds():
    for name in ("three_label_sets", "single_task"):
        with pytest.raises(ValueError, match="`gamma`.*both kinds. Received"):
            JointDistributionGAN(make_encoder(CASES[name]), gamma="auto")


@pytest.mark.parametrize("name", ["lambda_joint", "gamma"])
def test_other_words_are_refused(name):
    with pytest.raises(
        ValueError, match=f"`{name}` must be.*'auto'.*'automatic'"
    ):
        make_model(**{name: "automatic"})
