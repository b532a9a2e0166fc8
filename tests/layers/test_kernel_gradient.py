"""Kernel gradients on small maps against those of TensorFlow's operations."""

import keras
import numpy as np
import pytest
from common import assert_relative
from gradients import differentiate
from keras import ops

from keras_noisyfer.layers import Conv2D, SpectralConv2DTranspose
from keras_noisyfer.layers import kernel_gradient as module


def gradients(layer, images, weights):
    def compute_loss(images):
        outputs = layer(images)
        return ops.sum(outputs * weights), outputs

    (_, outputs), (of_images,), of_variables = differentiate(
        compute_loss, [images], layer.trainable_variables
    )
    arrays = [outputs, of_images, *of_variables]
    return [np.array(ops.convert_to_tensor(each)) for each in arrays]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(
    ("make", "scale"),
    [
        (lambda: Conv2D(5, 3, padding="same"), 1),
        (
            lambda: SpectralConv2DTranspose(5, 4, strides=2, padding="same"),
            2,
        ),
    ],
)
def test_equals_the_plain_gradient(size, make, scale, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(7, size, size, 3)).astype("float32")
    weights = rng.normal(size=(7, scale * size, scale * size, 5))
    weights = weights.astype("float32")
    layer = make()
    layer.build(images.shape)
    used = []
    attach = module._attach_kernel
    monkeypatch.setattr(
        module,
        "_attach_kernel",
        lambda *args, **kwargs: used.append(1) or attach(*args, **kwargs),
    )
    monkeypatch.setattr(module, "_MIN_CHANNEL_PAIRS", 15)
    fast = gradients(layer, images, weights)
    # By a matrix product where the larger map has at most 16 positions.
    backend = keras.backend.backend()
    small = size * scale <= 4 and backend == "tensorflow"
    assert bool(used) == small
    monkeypatch.setattr(module, "_MIN_CHANNEL_PAIRS", 16)
    used.clear()
    plain = gradients(layer, images, weights)
    assert not used
    for first, second in zip(fast, plain, strict=True):
        assert_relative(first, second, 1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"strides": 2, "padding": "same"},
        {"padding": "valid"},
        {"dilation_rate": 2, "padding": "same"},
    ],
)
def test_other_convolutions_are_left_to_keras(arguments):
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    layer = Conv2D(5, 3, **arguments)
    again = keras.layers.Conv2D(5, 3, **arguments)
    layer.build(images.shape)
    again.build(images.shape)
    again.set_weights(layer.get_weights())
    weights = np.ones(layer(images).shape, "float32")
    for first, second in zip(
        gradients(layer, images, weights),
        gradients(again, images, weights),
        strict=True,
    ):
        assert_relative(first, second, 1e-6)
