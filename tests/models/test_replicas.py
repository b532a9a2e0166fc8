"""Training under `tf.distribute.MirroredStrategy`."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xfail(
        strict=True,
        reason="Equal to 1e-3 in the first epoch, then apart; why is not known",
    ),
]

SCRIPT = pathlib.Path(__file__).parent / "replicas.py"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What came of one and of two replicas, a dict of arrays each."""
    folder = tmp_path_factory.mktemp("replicas")
    results = []
    for count in (1, 2):
        output = folder / f"{count}.npz"
        subprocess.run(
            [sys.executable, str(SCRIPT), str(count), str(output)], check=True
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
            two[name], one[name], rtol=1e-3, atol=1e-4, err_msg=name
        )


def test_weights_equal_those_of_one_device(runs):
    one, two = runs
    weights = [name for name in one if name.startswith("weight/")]
    assert len(weights) > 100
    for name in weights:
        np.testing.assert_allclose(
            two[name], one[name], rtol=1e-3, atol=1e-4, err_msg=name
        )
