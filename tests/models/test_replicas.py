"""Training under `tf.distribute.MirroredStrategy`."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from conftest import free_port

pytestmark = pytest.mark.distributed

FOLDER = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What came of one and of two replicas, a dict of arrays each."""
    folder = tmp_path_factory.mktemp("replicas")
    results = []
    for count in (1, 2):
        output = folder / f"{count}.npz"
        subprocess.run(
            [
                sys.executable,
                str(FOLDER / "replicas.py"),
                str(count),
                str(output),
            ],
            check=True,
        )
        with np.load(output) as file:
            results.append(dict(file))
    return results


def test_losses_and_metrics_equal_those_of_one_device(runs):
    one, two = runs
    compared = [name for name in one if not name.startswith("weight/")]
    assert {"history/affect_loss", "history/discriminator_loss"} < set(compared)
    for name in compared:
        np.testing.assert_allclose(
            two[name], one[name], rtol=1e-4, atol=1e-6, err_msg=name
        )


def test_weights_equal_those_of_one_device(runs):
    one, two = runs
    weights = [name for name in one if name.startswith("weight/")]
    assert len(weights) > 100
    for name in weights:
        np.testing.assert_allclose(
            two[name], one[name], rtol=1e-4, atol=1e-6, err_msg=name
        )


def test_several_workers_are_referred_to_jax():
    ports = [str(free_port()) for _ in range(2)]
    workers = [
        subprocess.Popen(
            [sys.executable, str(FOLDER / "workers.py"), str(index), *ports],
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    for worker in workers:
        output, _ = worker.communicate(timeout=120)
        assert "KERAS_BACKEND=jax" in output
        assert "Received: a strategy of 2 replicas" in output
