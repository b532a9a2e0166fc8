import keras
import numpy as np
import pytest
from common import assert_relative, channels_last
from gradients import differentiate
from keras import ops

from keras_noisyfer.layers import (
    SpectralConv2D,
    SpectralConv2DTranspose,
    SpectralDense,
)
from keras_noisyfer.networks.release import _kernel, _spectral

CASES = {
    "dense": lambda: SpectralDense(7),
    "conv": lambda: SpectralConv2D(6, 3, padding="same"),
    "conv_transpose": lambda: SpectralConv2DTranspose(
        6, 4, strides=2, padding="same"
    ),
}


def images_last(array):
    return channels_last(array) if array.ndim == 4 else array


@pytest.mark.parametrize("case", list(CASES))
def test_matches_release_over_three_training_calls(case, golden):
    numbers = golden("spectral_norm")
    layer = CASES[case]()
    inputs = images_last(numbers[f"{case}/x"])
    cotangent = images_last(numbers[f"{case}/cotangent"])
    layer.build(inputs.shape)
    correspondence = _spectral(layer, "")
    for variable, (name,), convert in correspondence:
        name = name.removeprefix(".")
        variable.assign(convert(numbers[f"{case}/init/{name}"]))

    def train(inputs):
        outputs = layer(inputs, training=True)
        return ops.sum(outputs * cotangent), outputs

    for call in range(3):
        expected = {
            name: numbers[f"{case}/call{call}/{name}"]
            for name in ("y", "grad_x", "grad_weight_orig", "u", "v")
        }
        (_, outputs), (of_inputs,), (of_kernel,) = differentiate(
            train, [inputs], [layer.kernel], layer.non_trainable_variables
        )
        assert_relative(outputs, images_last(expected["y"]))
        assert_relative(of_inputs, images_last(expected["grad_x"]))
        assert_relative(of_kernel, _kernel(expected["grad_weight_orig"]))
        for variable, (name,), convert in correspondence:
            if name.endswith(("_u", "_v")):
                assert_relative(variable, convert(expected[name[-1]]))

    before = layer.left_vector.numpy()
    outputs = layer(inputs, training=False)
    assert_relative(outputs, images_last(numbers[f"{case}/eval/y"]))
    np.testing.assert_array_equal(before, layer.left_vector)


def test_sigma_converges_to_largest_singular_value():
    layer = SpectralDense(6, use_bias=False)
    layer.build((None, 9))
    kernel = layer.kernel.numpy()
    for _ in range(200):
        normalized = layer.normalized_kernel(training=True)
    sigma = np.linalg.norm(kernel, ord=2)
    np.testing.assert_allclose(normalized, kernel / sigma, rtol=1e-4)
    np.testing.assert_array_equal(layer.kernel, kernel)


def test_activation_and_bias():
    layer = SpectralDense(3, activation="relu", bias_initializer="ones")
    outputs = layer(np.zeros((2, 4), "float32"))
    np.testing.assert_array_equal(outputs, np.ones((2, 3)))


@pytest.mark.parametrize("case", list(CASES))
def test_survives_saving(case, tmp_path):
    shape = (5,) if case == "dense" else (8, 8, 3)
    model = keras.Sequential([keras.Input(shape), CASES[case]()])
    inputs = np.random.default_rng(0).normal(size=(2, *shape))
    model(inputs, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(inputs), loaded(inputs))


def test_rejects_channels_first():
    layer = SpectralConv2D(2, 3, data_format="channels_first")
    with pytest.raises(ValueError, match="`data_format` must be"):
        layer.build((None, 3, 8, 8))
