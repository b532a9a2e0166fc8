import pathlib
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parent / "seeded_training.py"


@pytest.mark.slow
def test_the_seed_decides_the_training(tmp_path):
    """Curves and weights of two processes are equal bit for bit; those of
    another seed are not."""
    runs = {"first": 0, "again": 0, "other": 1}
    processes = [
        subprocess.Popen([sys.executable, SCRIPT, str(seed), tmp_path / name])
        for name, seed in runs.items()
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    first, again, other = (
        np.load(tmp_path / f"{name}.npz", allow_pickle=False) for name in runs
    )
    assert len(first.files) > 100
    for name in first.files:
        np.testing.assert_array_equal(first[name], again[name], err_msg=name)
    assert not np.array_equal(first["history/loss"], other["history/loss"])
