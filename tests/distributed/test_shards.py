"""Training on JAX, over several devices and several processes."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from common import free_port
from training import assert_equal_training

pytestmark = [
    pytest.mark.jax,
    pytest.mark.distributed,
    pytest.mark.timeout(1200),
]

SCRIPT = pathlib.Path(__file__).parent / "shards.py"
PROCESSES = 2


def start(folder, name, devices, *process, checkpoint=None):
    """Starts the training; it writes `name.npz` and a checkpoint."""
    arguments = [folder / f"{name}.npz", checkpoint or folder / "model.keras"]
    flags = os.environ.get("XLA_FLAGS", "")
    flags += f" --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, *map(str, [SCRIPT, *arguments, *process])],
        env={**os.environ, "XLA_FLAGS": flags},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a training on one device."""
    folder = tmp_path_factory.mktemp("shards")
    assert start(folder, "one", 1).wait() == 0
    return folder


def test_eight_devices_train_as_one_does(folder):
    assert start(folder, "eight", 8).wait() == 0
    assert_equal_training(folder / "one.npz", folder / "eight.npz")


def test_batches_that_devices_cannot_share_are_refused():
    flags = os.environ.get("XLA_FLAGS", "")
    flags += " --xla_force_host_platform_device_count=4"
    subprocess.run(
        [sys.executable, str(SCRIPT.with_name("uneven_batches.py"))],
        env={**os.environ, "XLA_FLAGS": flags},
        check=True,
    )


def test_two_processes_train_as_one_does(folder):
    address = f"127.0.0.1:{free_port()}"
    # Each has a path of its own for the checkpoint, of which one is used.
    checkpoints = [folder / f"{index}.keras" for index in range(PROCESSES)]
    processes = [
        start(
            folder,
            f"process_{index}",
            1,
            index,
            PROCESSES,
            address,
            checkpoint=checkpoints[index],
        )
        for index in range(PROCESSES)
    ]
    assert [each.wait() for each in processes] == [0, 0]
    for index in range(PROCESSES):
        assert_equal_training(
            folder / "one.npz", folder / f"process_{index}.npz"
        )
    assert [each.exists() for each in checkpoints] == [True, False]
    model = keras.saving.load_model(checkpoints[0])
    with np.load(folder / "one.npz") as trained:
        for variable in model.encoder.trainable_variables:
            np.testing.assert_allclose(
                variable.value,
                trained[f"weight/{variable.path}"],
                rtol=1e-4,
                atol=1e-5,
            )
