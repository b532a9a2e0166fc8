"""The cells of an experiment in the processes of a Dask cluster."""

import sys

import pytest
from common import RECIPES

from keras_noisyfer.comparison import METHODS, read_experiment, run_experiment
from keras_noisyfer.comparison.runner import read_rows

distributed = pytest.importorskip("distributed")

METHOD = """
import keras_noisyfer as kn

@kn.comparison.method("mine", "Mine")
def mine(encoder, data, options):
    return kn.MultiTaskModel(encoder)
"""
EXPERIMENT = f"""
extends = "{RECIPES}/experiments/faces.toml"
title = "A method of one's own"
imports = ["my_methods"]
[profiles.small]
train_size = 20
validation_size = 10
test_size = 10
image_size = 32
epochs = 1
warmup_epochs = 0
batch_size = 10
learning_rate = 1e-3
decay = false
augmentation = false
width = 0.0625
batch_normalization = true
dropout = 0.0
lambda_joint = 0.4
[[settings]]
name = "own"
methods = ["vggnet", "mine"]
"""


@pytest.mark.slow
@pytest.mark.smoke
def test_cells_run_in_a_cluster(tmp_path, monkeypatch):
    (tmp_path / "my_methods.py").write_text(METHOD)
    path = tmp_path / "own.toml"
    path.write_text(EXPERIMENT)
    monkeypatch.syspath_prepend(tmp_path)
    # The workers are processes of their own, which import it as well.
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    try:
        experiment = read_experiment(path)
        with (
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                dashboard_address=None,
                local_directory=str(tmp_path),
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            failed = run_experiment(
                experiment, tmp_path / "run", executor=client.get_executor()
            )
    finally:
        METHODS.pop("mine", None)
        sys.modules.pop("my_methods", None)
    assert failed == []
    rows = read_rows(tmp_path / "run")
    assert {row["method"] for row in rows} == {"vggnet", "mine"}
    log = tmp_path / "run" / "cells" / "own" / "mine" / "seed0" / "log.txt"
    assert "expression_loss" in log.read_text()
