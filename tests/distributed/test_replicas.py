"""Training under TensorFlow's strategies."""

import pathlib
import subprocess
import sys

import pytest
from common import free_port
from training import assert_equal_training

pytestmark = pytest.mark.distributed

FOLDER = pathlib.Path(__file__).parent


def start(script, *arguments, **options):
    command = [sys.executable, FOLDER / script, *arguments]
    return subprocess.Popen([str(each) for each in command], **options)


@pytest.mark.smoke
def test_two_replicas_train_as_one_device_does(tmp_path):
    for count in (1, 2):
        process = start("replicas.py", count, tmp_path / f"{count}.npz")
        assert process.wait() == 0
    assert_equal_training(tmp_path / "1.npz", tmp_path / "2.npz")


def test_a_fault_of_two_replicas_leaves_the_last_state(tmp_path):
    assert start("faulty_replicas.py", tmp_path / "state.npz").wait() == 0


def test_several_workers_are_referred_to_jax():
    ports = [free_port() for _ in range(2)]
    workers = [
        start("workers.py", index, *ports, stdout=subprocess.PIPE, text=True)
        for index in range(2)
    ]
    for worker in workers:
        output, _ = worker.communicate(timeout=120)
        assert "KERAS_BACKEND=jax" in output
        assert "Received: a strategy of 2 replicas" in output
