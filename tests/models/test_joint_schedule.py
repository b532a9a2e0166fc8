"""In which steps distributions are matched, and how much that counts."""

import numpy as np
import pytest
import tensorflow as tf
from common import in_smoke
from small_models import (
    CASES,
    changed,
    compiled,
    make_data,
    make_encoder,
    values,
)

from keras_noisyfer.mixup import Mixup
from keras_noisyfer.models import JointDistributionGAN, MultiTaskModel
from keras_noisyfer.models.joint_schedule import joint_weight

TASKS = CASES["expression_and_affect"]


class FixedMixup(Mixup):
    """Mixes 3 : 1 with the images in reverse order."""

    def draw(self, batch_size):
        return tf.constant(0.75), tf.range(batch_size)[::-1]


def gan(**options):
    return JointDistributionGAN(make_encoder(TASKS), seed=0, **options)


@pytest.mark.parametrize("traced", [False, in_smoke(True)])
def test_every_third_batch_has_an_alternating_step(traced):
    model = gan(joint_every=3, use_decoder=False, discriminator_steps=1)
    compiled(model, run_eagerly=not traced)
    moved = []
    for _ in range(5):
        before = values(model.discriminator.trainable_variables)
        encoder = values(model.encoder.trainable_variables)
        logs = model.train_on_batch(*make_data(TASKS), return_dict=True)
        after = values(model.discriminator.trainable_variables)
        moved.append(any(changed(before, after)))
        assert any(changed(encoder, values(model.encoder.trainable_variables)))
        assert np.isfinite(list(logs.values())).all()
    assert moved == [True, False, False, True, False]
    assert int(model.optimizer.iterations) == 5
    assert int(model.discriminator_optimizer.iterations) == 2


def test_plain_steps_are_those_of_plain_training():
    first, plain = gan(joint_every=2), MultiTaskModel(make_encoder(TASKS))
    plain.encoder.set_weights(first.encoder.get_weights())
    first.fault_guard.steps.assign(1)
    data = make_data(TASKS)
    for model in (first, plain):
        compiled(model)
        model.train_on_batch(*data)
    for one, other in zip(
        first.encoder.get_weights(), plain.encoder.get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_lambda_counts_as_often_as_it_is_left_out_and_grows():
    model = gan(lambda_joint=0.5, joint_every=4, warmup_epochs=2, ramp_epochs=3)
    weights = []
    for epoch in range(2, 8):
        model.completed_epochs.assign(epoch)
        weights.append(float(joint_weight(model)))
    np.testing.assert_allclose(weights, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0])
    assert joint_weight(gan(lambda_joint=0.5)) == 0.5
    automatic = gan(lambda_joint="auto", joint_every=3)
    assert float(joint_weight(automatic)) == 3.0


def test_what_is_out_of_range_is_refused():
    for options, message in (
        ({"joint_every": 0}, "`joint_every` must be"),
        ({"ramp_epochs": -1}, "`ramp_epochs` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            gan(**options)


@pytest.mark.slow
@pytest.mark.smoke
def test_the_game_sees_mixed_images():
    """A step on mixed images is one on images that were mixed before."""

    images, labels = make_data(TASKS[1:])
    mixed = 0.75 * images + 0.25 * images[::-1]
    values_ = 0.75 * labels["affect"] + 0.25 * labels["affect"][::-1]
    start, logs = None, []
    for mixup, given in (
        (FixedMixup(), (images, labels)),
        (None, (mixed, {"affect": values_})),
    ):
        model = JointDistributionGAN(
            make_encoder(TASKS[1:]), seed=0, mixup=mixup, use_decoder=False
        )
        networks = model.encoder, model.discriminator
        start = start or [each.get_weights() for each in networks]
        for network, weights in zip(networks, start, strict=True):
            network.set_weights(weights)
        logs.append(compiled(model).train_on_batch(*given, return_dict=True))
    assert logs[0] == pytest.approx(logs[1], rel=1e-4)


def test_a_mixed_loss_is_that_of_both_labels():
    tasks = TASKS[:1]
    model = compiled(MultiTaskModel(make_encoder(tasks), mixup=FixedMixup()))
    images, labels = make_data(tasks, missing=True)
    mixed = tf.constant(0.75 * images + 0.25 * images[::-1])
    outputs = model.encoder(mixed, training=True)["labels"]
    parts = [
        float(model.compute_objective({"expression": each}, outputs)[0])
        for each in (labels["expression"], labels["expression"][::-1])
    ]
    logs = model.train_on_batch(images, labels, return_dict=True)
    assert logs["loss"] == pytest.approx(
        0.75 * parts[0] + 0.25 * parts[1], rel=1e-5
    )
    # Nothing is mixed in evaluation.
    found = model.evaluate(images, labels, return_dict=True, verbose=0)
    predicted = model.predict(images, verbose=0)["expression"].argmax(-1)
    present = labels["expression"] >= 0
    hits = (labels["expression"] == predicted[:, None])[present]
    assert found["expression_accuracy"] == pytest.approx(hits.mean())
