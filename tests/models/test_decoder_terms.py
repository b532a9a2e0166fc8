"""What a decoder learns beside the game."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import CASES, compiled, make_data, make_encoder

from keras_noisyfer.batches import Batch
from keras_noisyfer.losses import noise_code_divergence, reconstruction_loss
from keras_noisyfer.models import JointDistributionGAN, decoder_terms

TASKS = CASES["expression_and_affect"]
WEIGHTS = {
    "reconstruction_weight": 2.0,
    "kl_weight": 0.5,
    "auxiliary_weight": 3.0,
}


def gan(**options):
    return JointDistributionGAN(make_encoder(TASKS), seed=0, **options)


def decided(raw, shift=0):
    """What the decoder is given: one class, and values, of the consensus."""
    mean = np.mean(tf.nn.softmax(raw["expression"]), axis=1)
    count, annotators, width = raw["expression"].shape
    label = np.eye(width, dtype="float32")[np.roll(mean.argmax(1), shift)]
    values = np.roll(np.clip(raw["affect"], -1, 1), shift, axis=0)
    return {
        "expression": tf.constant(np.repeat(label[:, None], annotators, 1)),
        "affect": tf.constant(values),
    }


@pytest.mark.parametrize("argument", WEIGHTS)
def test_what_is_out_of_range_is_refused(argument):
    with pytest.raises(ValueError, match=f"`{argument}` must be.*-1"):
        gan(**{argument: -1.0})
    with pytest.raises(ValueError, match=f"`{argument}` must be 0 without a"):
        gan(use_decoder=False, **{argument: 1.0})


def test_reconstruction_is_of_the_encoders_own_code_and_labels():
    model = gan(reconstruction_weight=2.0)
    images, labels = make_data(TASKS)
    noise = tf.ones((8, 5))
    batch = Batch(tf.constant(images), labels)
    outputs, encoded, _ = model.make_tuples(batch, noise, noise, training=False)
    code = outputs["mean"] + tf.exp(0.5 * outputs["log_variance"])
    np.testing.assert_allclose(encoded["noise_code"], code, rtol=1e-5)
    expected = model.decoder(
        {"noise_code": code, "labels": decided(outputs["labels"])}
    )
    np.testing.assert_allclose(outputs["reconstruction"], expected, atol=1e-5)
    # By hand: two images, 0.25 and 1.5 apart, the second weighs three times.
    loss = reconstruction_loss(
        np.zeros((2, 1, 1, 3), "float32"),
        np.array([0.25, -1.5], "float32").reshape(2, 1, 1, 1)
        + np.zeros(3, "f4"),
        np.array([1.0, 3.0], "float32"),
    )
    assert float(loss) == pytest.approx((0.25 + 3 * 1.5) / 4)


def test_divergence_of_the_noise_code():
    mean = np.array([[0.0, 0.0], [1.0, -2.0]], "float32")
    log_variance = np.array([[0.0, 0.0], [0.0, np.log(4.0)]], "float32")
    # By hand: 0; (1 + 4 + 4 - log 4 - 1) / 2 of the second image.
    second = (1 + 4 + 3 - np.log(4)) / 2
    found = noise_code_divergence(mean, log_variance)
    assert float(found) == pytest.approx(second / 2)
    weights = np.array([1.0, 3.0], "float32")
    found = noise_code_divergence(mean, log_variance, weights)
    assert float(found) == pytest.approx(3 * second / 4)


def test_auxiliary_term_asks_for_what_is_predicted_of_another_image(
    monkeypatch,
):
    shift = lambda shape, seed: tf.constant([1, -1])  # noqa: E731
    monkeypatch.setattr(decoder_terms, "draw_shift", shift)
    model = gan(auxiliary_weight=1.0, gamma=2.0)
    images, labels = make_data(TASKS)
    noise = tf.random.normal((8, 5), seed=1)
    batch = Batch(tf.constant(images), labels)
    outputs, *_ = model.make_tuples(batch, noise, noise, training=False)
    raw = outputs["labels"]
    asked = {
        "expression": np.roll(tf.nn.softmax(raw["expression"]), 1, axis=0),
        "affect": np.roll(np.clip(raw["affect"], -1, 1), 1, axis=0),
    }
    for name, expected in asked.items():
        np.testing.assert_allclose(outputs["asked"][name], expected, rtol=1e-5)
    code = outputs["mean"] + noise * tf.exp(0.5 * outputs["log_variance"])
    labels = decided(raw, shift=1)
    image = model.decoder({"noise_code": code, "labels": labels})
    # The image is read moved, one pixel down and one to the left, and every
    # other one mirrored.
    image = np.roll(image, (1, -1), axis=(1, 2))
    image[::2] = image[::2, :, ::-1]
    read = model.encoder(image)["labels"]
    for name, expected in read.items():
        np.testing.assert_allclose(outputs["read"][name], expected, atol=1e-5)
    p, q = asked["expression"], tf.nn.softmax(read["expression"]).numpy()
    divergence = (p * np.log(p / q)).sum(axis=(1, 2))
    squares = ((asked["affect"] - read["affect"]) ** 2).numpy()
    expected = divergence + 2.0 * squares.sum(axis=(1, 2))
    found = decoder_terms.weigh(model, batch, outputs)
    assert float(found) == pytest.approx(expected.mean(), rel=1e-3)
    # An image counts as often as what is asked for is its own.
    weights = dict.fromkeys(asked, tf.range(8.0))
    weighed = batch._replace(sample_weight=weights)
    found = decoder_terms.weigh(model, weighed, outputs)
    expected = np.average(expected, weights=np.roll(range(8), 1))
    assert float(found) == pytest.approx(expected, rel=1e-3)
    # Nothing is gained by drawing more than what was asked for.
    agreed = {"expression": np.log(p), "affect": asked["affect"]}
    found = decoder_terms.weigh(model, batch, {**outputs, "read": agreed})
    assert float(found) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("side, most", [(16, 1), (32, 1), (48, 2), (96, 4)])
def test_images_are_moved_by_up_to_a_twenty_fourth(side, most):
    seed = keras.random.SeedGenerator(0)
    drawn = [decoder_terms.draw_shift((side, side, 3), seed) for _ in range(99)]
    assert set(np.ravel(drawn)) == {*range(-most, most + 1)}
    # The axes move apart.
    down, right = np.transpose(drawn)
    assert {*down} == {*right} and np.any(down != right)


def test_larger_images_are_read_smoothed():
    generator = np.random.default_rng(0)
    small = generator.normal(size=(2, 47, 40, 3)).astype("float32")
    np.testing.assert_array_equal(decoder_terms.smooth(small), small)
    for side, reach in ((48, 1), (96, 2)):
        images = generator.normal(size=(2, side, 40, 3)).astype("float32")
        found = decoder_terms.smooth(images)
        for row, column in ((7, 9), (0, 39)):
            # What is beyond the edge does not count.
            rows = slice(max(0, row - reach), row + reach + 1)
            columns = slice(max(0, column - reach), column + reach + 1)
            np.testing.assert_allclose(
                found[:, row, column],
                images[:, rows, columns].mean(axis=(1, 2)),
                atol=1e-5,
            )


def test_auxiliary_term_teaches_the_decoder_alone():
    model = gan(auxiliary_weight=1.0)
    images, labels = make_data(TASKS)
    before = model.encoder.get_weights()
    with tf.GradientTape() as tape:
        batch = Batch(tf.constant(images), labels)
        outputs, *_ = model.make_tuples(batch, training=False)
        loss = decoder_terms.weigh(model, batch, outputs)
    encoder, decoder = tape.gradient(
        loss,
        [model.encoder.trainable_weights, model.decoder.trainable_weights],
    )
    assert all(each is None or not np.any(each) for each in encoder)
    assert all(np.any(each) for each in decoder[:1])
    for one, other in zip(before, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.smoke
def test_the_loss_has_all_terms():
    model = compiled(gan(lambda_joint=0.3, joint_every=3, **WEIGHTS))
    logs = model.train_on_batch(*make_data(TASKS), return_dict=True)
    assert min(logs[each] for each in decoder_terms.TERMS.values()) > 0
    assert logs["loss"] == pytest.approx(
        logs["expression_loss"]
        + logs["affect_loss"]
        + 3 * 0.3 * logs["generator_joint_loss"]
        + 3 * 2.0 * logs["reconstruction_loss"]
        + 3 * 0.5 * logs["kl_divergence"]
        + 3 * 3.0 * logs["auxiliary_loss"],
        rel=1e-5,
    )
    left_out = gan().get_metrics_result()
    assert not left_out.keys() & decoder_terms.TERMS.values()
