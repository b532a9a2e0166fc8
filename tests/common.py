"""Fixtures, and what several tests share."""

import gc
import importlib.util
import pathlib
import socket
import sys
import time

import golden_files
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import WHOLE
from hypothesis import HealthCheck, settings
from PIL import Image

from keras_noisyfer.networks import decoder, discriminator, encoder

RECIPES = pathlib.Path(__file__).parents[1] / "recipes"
# Where a recipe finds what is beside it, as when it is run.
sys.path.append(str(RECIPES))

# The same examples in each run, and no folder of those that failed.
settings.register_profile(
    "deterministic",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("deterministic")

# Networks of fewer layers of each kind, which are traced in half the time:
# the tests of the networks and of golden numbers, and `make test-all`, have
# those of the paper.
SMALL_NETWORKS = [
    (encoder, "VGG16_GROUPS", tuple(each[:1] for each in encoder.VGG16_GROUPS)),
    (decoder, "STAGES", {**decoder.STAGES, 32: (8, (128,))}),
    (discriminator, "FILTERS", (64,)),
]
WHOLE_NETWORKS = [
    (module, name, getattr(module, name)) for module, name, _ in SMALL_NETWORKS
]


def pytest_configure(config):
    if not config.getoption(WHOLE):
        # Grappler takes as long as the trace of a step, for steps that are
        # run a few times. Scripts that tests start run with it.
        options = {"disable_meta_optimizer": True}
        tf.config.optimizer.set_experimental_options(options)
        set_networks(SMALL_NETWORKS)


def set_networks(constants):
    for module, name, value in constants:
        setattr(module, name, value)


@pytest.fixture
def csv(tmp_path):
    """Writes the lines of a table of labels."""

    def write(*lines):
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(lines))
        return path

    return write


@pytest.fixture(scope="module")
def whole_networks(pytestconfig):
    """The paper's networks, for `pytest.mark.usefixtures` of a module."""
    set_networks(WHOLE_NETWORKS)
    yield
    if not pytestconfig.getoption(WHOLE):
        set_networks(SMALL_NETWORKS)


def pytest_collection_finish():
    # What has been imported need not be looked at in each collection.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def collect_models(pytestconfig):
    """Python's collector takes minutes for the traced steps of many tests.
    Those of small networks, some GiB in all processes, it need not look at;
    those of whole ones are freed after each test."""
    begin = time.process_time()
    yield
    if not pytestconfig.getoption(WHOLE):
        gc.freeze()
    elif time.process_time() - begin > 1:
        gc.collect()


@pytest.fixture(scope="session")
def golden():
    """Loads a golden file: `golden("blocks")` is a dict of arrays."""
    return golden_files.load


@pytest.fixture(scope="session")
def cifar10(tmp_path_factory):
    """An .npz file in CIFAR-10's layout: 64 images and 32, all noise."""
    path = tmp_path_factory.mktemp("data") / "cifar10.npz"
    generator = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 64), ("test", 32)):
        arrays[f"x_{split}"] = generator.integers(
            0, 256, (count, 32, 32, 3), "uint8"
        )
        arrays[f"y_{split}"] = generator.integers(0, 10, (count, 1))
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def root(tmp_path):
    """A folder of five small images."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png", "more/d.png", "more/e.png"):
        Image.new("RGB", (4, 4)).save(folder / name)
    return folder


@pytest.fixture
def eagerly():
    """Functions are not traced, which a few steps do not pay for."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def unexported(monkeypatch):
    """Recipes that write no SavedModel, which takes as long as training."""
    monkeypatch.setattr(
        "noisyfer.train.export",
        lambda *args, **options: None,
    )


def in_smoke(*arguments):
    """A parameter that `make test-smoke` has, and not `make test`."""
    return pytest.param(*arguments, marks=[pytest.mark.slow, pytest.mark.smoke])


def load_recipe(name):
    """The module of a recipe, loaded anew."""
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port():
    """A port of the loopback address that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def below(arrays, prefix):
    """The arrays whose name begins with a prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def channels_last(images):
    return np.moveaxis(images, 1, -1)


def assert_relative(actual, expected, tolerance=1e-4):
    """Asserts that two arrays agree to `tolerance` times the largest entry.

    Some gradients are a difference of equal sums, zero but for rounding:
    those may be 1e-7 apart.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    error = np.abs(actual - expected).max()
    assert error <= tolerance * np.abs(expected).max() + 1e-7
