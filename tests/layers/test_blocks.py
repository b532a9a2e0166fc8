import keras
import numpy as np
import pytest
from common import assert_relative, below, channels_last
from gradients import differentiate
from keras import ops

from keras_noisyfer.layers import LabelMLP, ResidualBlock, SelfAttention
from keras_noisyfer.networks import release


def residual_weights(layer):
    weights = release._spectral(layer.convolution_1, "conv1")
    weights += release._spectral(layer.convolution_2, "conv2")
    if layer.shortcut is not None:
        weights += release._spectral(layer.shortcut, "conv_sc")
    return weights


def attention_weights(layer):
    weights = [release.ReleaseWeight(layer.scale, ["gamma"], np.asarray)]
    for part in ("theta", "phi", "g", "o"):
        weights += release._spectral(getattr(layer, part), part)
    return weights


CASES = {
    "residual_first": (lambda: ResidualBlock(8, first=True), residual_weights),
    "residual_down": (lambda: ResidualBlock(16), residual_weights),
    "residual_flat": (
        lambda: ResidualBlock(8, halve=False),
        residual_weights,
    ),
    "attention": (lambda: SelfAttention(), attention_weights),
    "mlp": (
        lambda: LabelMLP(8),
        lambda layer: [
            weight._replace(
                names=[name.removeprefix("mlp.") for name in weight.names]
            )
            for weight in release._mlp(layer, "mlp")
        ],
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_matches_release(case, golden):
    make, correspondence = CASES[case]
    numbers = below(golden("blocks"), f"{case}/")
    images = numbers["x"].ndim == 4
    last = channels_last if images else np.asarray
    layer = make()
    inputs = last(numbers["x"])
    layer.build(inputs.shape)
    weights = correspondence(layer)
    names = [name for weight in weights for name in weight.names]
    assert set(names) == set(below(numbers, "state/"))
    for variable, names, convert in weights:
        variable.assign(convert(*(numbers[f"state/{each}"] for each in names)))

    def call(inputs):
        outputs = layer(inputs, training=False)
        return ops.sum(outputs * last(numbers["cotangent"])), outputs

    trainable = [weight for weight in weights if weight.variable.trainable]
    (_, outputs), (of_inputs,), gradients = differentiate(
        call, [inputs], [weight.variable for weight in trainable]
    )
    assert_relative(outputs, last(numbers["y"]))
    assert_relative(of_inputs, last(numbers["grad_x"]))
    for gradient, weight in zip(gradients, trainable, strict=True):
        expected = [numbers[f"grad/{name}"] for name in weight.names]
        assert_relative(gradient, weight.convert(*expected))


def test_attention_starts_as_identity():
    inputs = np.random.default_rng(0).normal(size=(2, 8, 8, 16))
    inputs = inputs.astype("float32")
    np.testing.assert_array_equal(SelfAttention()(inputs), inputs)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (ResidualBlock(4, halve=False, first=True), (8, 8, 3)),
        (ResidualBlock(4), (9, 9, 3)),
        (SelfAttention(), (8, 8, 8)),
        (LabelMLP(6), (5,)),
    ],
)
def test_saving_shape_and_one_fit_step(layer, shape, tmp_path):
    model = keras.Sequential([keras.Input(shape), layer])
    inputs = np.random.default_rng(0).normal(size=(4, *shape))
    outputs = model(inputs)
    assert tuple(outputs.shape) == layer.compute_output_shape((4, *shape))
    model.compile("sgd", "mse")
    model.fit(inputs, np.zeros(outputs.shape), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(inputs), loaded(inputs))
