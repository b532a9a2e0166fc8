"""Whole steps against numbers of the authors' release."""

import numpy as np
import pytest
from common import assert_relative, below, channels_last
from gradients import differentiate
from keras import ops

from keras_noisyfer.batches import Batch
from keras_noisyfer.models import JointDistributionGAN
from keras_noisyfer.networks import (
    Decoder,
    Discriminator,
    Encoder,
    load_release_weights,
)
from keras_noisyfer.networks.release import release_weights
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

pytestmark = [
    pytest.mark.usefixtures("whole_networks"),
    # On JAX.
    pytest.mark.smoke,
]

CASES = {
    "step_cifar10": ([CategoricalTask("object", 10, annotators=3)], 32, 0.4),
    "step_emotion": (
        [
            CategoricalTask("expression", 7),
            ContinuousTask("affect", ("valence", "arousal")),
        ],
        64,
        1.0,
    ),
}
SHAPE = {"width": 1 / 8, "noise_code_size": 12}


@pytest.fixture(scope="module", params=list(CASES))
def step(request, golden):
    """A model with the golden weights, and its golden numbers."""
    tasks, size, lambda_joint = CASES[request.param]
    numbers = golden(request.param)
    image_shape = (size, size, 3)
    encoder = Encoder(tasks, image_shape, dropout=0.0, **SHAPE)
    model = JointDistributionGAN(
        encoder,
        Decoder(tasks, image_shape, **SHAPE),
        Discriminator(tasks, image_shape, **SHAPE),
        lambda_joint=lambda_joint,
    )
    state = below(numbers, "state/")
    load_release_weights(encoder, below(state, "encoder/"))
    load_release_weights(model.decoder, below(state, "decoder/"))
    modules = {
        name: array
        for name, array in state.items()
        if name.startswith("discriminator")
    }
    load_release_weights(model.discriminator, modules)
    return model, numbers


def batch(model, numbers):
    images = ops.convert_to_tensor(channels_last(numbers["x"]))
    if "labels" in numbers:
        labels = {"object": numbers["labels"].astype("int32")}
    else:
        labels = {
            "expression": numbers["expression"].astype("int32")[:, None],
            "affect": numbers["valence_arousal"][:, None],
        }
    return images, {
        name: ops.convert_to_tensor(each) for name, each in labels.items()
    }


def make_tuples(model, numbers):
    images, labels = batch(model, numbers)
    return labels, model.make_tuples(
        Batch(images, labels),
        encoder_noise=ops.convert_to_tensor(numbers["encoder_noise"]),
        decoder_noise=ops.convert_to_tensor(numbers["decoder_noise"]),
        training=False,
    )


def assert_gradients(network, gradients, variables, numbers, prefix):
    gradients = {
        variable.path: gradient
        for variable, gradient in zip(variables, gradients, strict=True)
    }
    state = below(numbers, "state/")
    if prefix != "grad_D/":
        state = below(state, prefix.split("/")[1] + "/")
    else:
        state = {k: v for k, v in state.items() if k.startswith("discr")}
    expected = below(numbers, prefix)
    compared = 0
    for variable, names, convert in release_weights(network, state):
        if variable.trainable:
            gradient = ops.convert_to_tensor(gradients[variable.path])
            arrays = [expected[name] for name in names]
            assert_relative(gradient, convert(*arrays))
            compared += len(names)
    assert compared == len(expected)


def test_outputs(step):
    model, numbers = step
    _, (outputs, encoded, decoded) = make_tuples(model, numbers)
    labels = np.concatenate(
        [
            np.reshape(outputs["labels"][task.name], (6, -1))
            for task in model.encoder.tasks
        ],
        axis=1,
    )
    images, _ = batch(model, numbers)
    codes = model.encoder(images)
    assert_relative(codes["mean"], numbers["encoder/mean"])
    assert_relative(codes["log_variance"], numbers["encoder/logvar"])
    assert_relative(encoded["noise_code"], numbers["encoder/z0"])
    assert_relative(labels, numbers["encoder/labels"])
    assert_relative(decoded["image"], channels_last(numbers["decoder/image"]))


def test_discriminator_loss_and_gradients(step):
    model, numbers = step
    _, (_, encoded, decoded) = make_tuples(model, numbers)
    variables = model.discriminator.trainable_variables

    def compute_loss():
        loss = model.discriminator_loss(encoded, decoded, training=False)
        return loss, None

    (loss, _), _, gradients = differentiate(compute_loss, (), variables)
    assert_relative(loss, numbers["loss_D"])
    assert_gradients(
        model.discriminator, gradients, variables, numbers, "grad_D/"
    )


def test_generator_loss_and_gradients(step):
    model, numbers = step
    variables = model.trained_variables

    def compute_loss():
        labels, (outputs, encoded, decoded) = make_tuples(model, numbers)
        joint_loss, _ = model.generator_joint_loss(
            encoded, decoded, training=False
        )
        losses = model.compute_task_losses(labels, outputs["labels"])
        loss = model.weigh_task_losses(losses)
        loss += model.lambda_joint * joint_loss
        return loss, (joint_loss, losses)

    (loss, (joint_loss, losses)), _, gradients = differentiate(
        compute_loss, (), variables
    )
    categorical = model.tasks[0].name
    assert_relative(losses[categorical], numbers["loss_class"])
    if "affect" in losses:
        assert_relative(losses["affect"], numbers["loss_va"])
    # A difference of means: its error is that of the scores.
    assert abs(joint_loss - numbers["loss_gan"]) < 1e-5
    assert_relative(loss, numbers["loss_G"])
    split = len(model.encoder.trainable_variables)
    assert_gradients(
        model.encoder,
        gradients[:split],
        variables[:split],
        numbers,
        "grad_G/encoder/",
    )
    assert_gradients(
        model.decoder,
        gradients[split:],
        variables[split:],
        numbers,
        "grad_G/decoder/",
    )
