import sys
import types

import numpy as np
import pytest
from common import below

from keras_noisyfer.networks import (
    Discriminator,
    Encoder,
    load_release_weights,
)
from keras_noisyfer.tasks import CategoricalTask

pytestmark = pytest.mark.usefixtures("whole_networks")

TASKS = [CategoricalTask("object", 10, annotators=3)]
SHAPE = {"image_shape": (32, 32, 3), "width": 1 / 8, "noise_code_size": 12}


@pytest.fixture(scope="module")
def state(golden):
    return below(golden("step_cifar10"), "state/")


def test_reads_npz_and_nested_dicts(state, tmp_path):
    nested = {}
    for name, array in state.items():
        module, _, key = name.partition("/")
        if module.startswith("discriminator"):
            nested.setdefault(module, {})[f"module.{key}"] = array
    from_dicts = Discriminator(TASKS, **SHAPE)
    load_release_weights(from_dicts, nested)
    np.savez(
        tmp_path / "discriminator.npz",
        **{k: v for k, v in state.items() if k.startswith("discriminator")},
    )
    from_file = Discriminator(TASKS, **SHAPE)
    load_release_weights(from_file, tmp_path / "discriminator.npz")
    for first, second in zip(
        from_dicts.weights, from_file.weights, strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_rejects_what_does_not_fit(state, tmp_path):
    encoder = Encoder(TASKS, **SHAPE)
    before = [np.array(each) for each in encoder.weights]
    weights = below(state, "encoder/")
    missing = {k: v for k, v in weights.items() if k != "c_layer.bias"}
    with pytest.raises(ValueError, match="must have the weight 'c_layer.bi"):
        load_release_weights(encoder, missing)
    wrong = {**weights, "mean_layer.weight": np.zeros((3, 3))}
    with pytest.raises(ValueError, match="'mean_layer.weight'.*must fit"):
        load_release_weights(encoder, wrong)
    for each, value in zip(encoder.weights, before, strict=True):
        np.testing.assert_array_equal(each, value)

    normalized = Encoder(TASKS, batch_normalization=True, **SHAPE)
    with pytest.raises(ValueError, match="no batch normalization"):
        load_release_weights(normalized, weights)
    with pytest.raises(ValueError, match="one module a stream"):
        load_release_weights(Discriminator(TASKS, **SHAPE), weights)
    with pytest.raises(ValueError, match=r"ending in \.npz or \.pth"):
        load_release_weights(encoder, __file__)
    with pytest.raises(ValueError, match="`state` must be a file"):
        load_release_weights(encoder, tmp_path / "missing.pth")


def test_reads_pth_safely_and_only_with_torch(state, tmp_path, monkeypatch):
    path = tmp_path / "encoder.pth"
    path.write_bytes(b"")
    encoder = Encoder(TASKS, **SHAPE)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="needs PyTorch"):
        load_release_weights(encoder, path)

    def load(path, map_location, weights_only):
        # Anything else would run what the file says.
        assert weights_only and map_location == "cpu"
        return below(state, "encoder/")

    torch = types.SimpleNamespace(load=load, __version__="2.13.0+cpu")
    monkeypatch.setitem(sys.modules, "torch", torch)
    load_release_weights(encoder, path)
    np.testing.assert_array_equal(
        encoder.get_layer("mean").bias, state["encoder/mean_layer.bias"]
    )
