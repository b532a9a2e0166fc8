import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras_tuner
import numpy as np
import pytest
from common import free_port
from search import TASKS, make_hypermodel, make_tuner

from keras_noisyfer import CategoricalTask, ContinuousTask
from keras_noisyfer.tuning import isolated_trials
from keras_noisyfer.tuning.isolated_trials import trial_rows

SEARCH = pathlib.Path(__file__).with_name("search.py")


def finished(directory):
    statuses = [
        json.loads(path.read_text())["status"]
        for path in pathlib.Path(directory).glob("search/trial_*/trial.json")
    ]
    return statuses.count("COMPLETED")


@pytest.mark.slow
@pytest.mark.smoke
# As the trials' processes have.
@pytest.mark.usefixtures("whole_networks")
def test_searches_and_goes_on_where_it_stopped(tmp_path):
    hypermodel = make_hypermodel()
    make_tuner(tmp_path, hypermodel=hypermodel, max_trials=1).search(
        epochs=2, verbose=0
    )
    assert finished(tmp_path) == 1
    tuner = make_tuner(tmp_path, hypermodel=hypermodel, max_trials=2)
    tuner.search(epochs=2, verbose=0)
    assert finished(tmp_path) == 2

    rows = trial_rows(tuner)
    assert [row["trial"] for row in rows] == sorted(
        ("0", "1"), key=lambda each: tuner.oracle.trials[each].score
    )
    assert rows[0]["lambda_joint"] != rows[1]["lambda_joint"]
    for row in rows:
        folder = tmp_path / "search" / f"trial_{row['trial']}"
        history = json.loads((folder / "history.json").read_text())
        assert len(history["val_consensus_loss"]) == 2
        assert row["val_consensus_loss"] == pytest.approx(
            history["val_consensus_loss"][-1]
        )
    # The weights of the best trial.
    (model,) = tuner.get_best_models()
    held_out = hypermodel.validation_data.batches(batch_size=8)
    loss = model.evaluate(held_out, return_dict=True, verbose=0)["object_loss"]
    assert loss == pytest.approx(rows[0]["val_consensus_loss"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.smoke
def test_the_seed_decides_the_trials(tmp_path):
    def first_values(name, seed):
        tuner = make_tuner(tmp_path / name, seed=seed)
        return tuner.oracle.create_trial("tuner").hyperparameters.values

    assert first_values("a", 0) == first_values("b", 0)
    assert first_values("c", 1) != first_values("d", 0)


@pytest.mark.parametrize("objective", ["val_accuracy", None])
def test_a_wrong_objective_fails_before_the_first_trial(tmp_path, objective):
    with pytest.raises(ValueError, match="`objective` must be one of"):
        make_tuner(tmp_path, objective=objective)
    one = make_hypermodel([CategoricalTask("object", 3)])
    with pytest.raises(ValueError, match="no task has several annotators"):
        make_tuner(
            tmp_path, hypermodel=one, objective="val_annotator_agreement"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("objective", "score"),
    [
        (keras_tuner.Objective("val_object_accuracy", "max"), 0.75),
        (["val_object_accuracy", "val_consensus_loss"], 1.5 - 0.75),
    ],
)
def test_ordinary_objectives_score_a_trial(
    tmp_path, monkeypatch, objective, score
):
    history = {
        "val_object_accuracy": [0.9, 0.75],
        "val_consensus_loss": [1.0, 1.5],
    }
    # Without training.
    monkeypatch.setattr(isolated_trials, "_train", lambda *args: history)
    monkeypatch.setattr(
        isolated_trials, "call_in_process", lambda call, *args: call(*args)
    )
    tuner = make_tuner(tmp_path, objective=objective, max_trials=1)
    tuner.search(epochs=2, verbose=0)
    (trial,) = tuner.oracle.get_best_trials(1)
    assert trial.score == pytest.approx(score)
    (row,) = trial_rows(tuner)
    assert row[tuner.oracle.objective.name] == pytest.approx(score)
    assert row["val_consensus_loss"] == 1.5


def test_refuses_what_does_not_compare_trials(tmp_path):
    tasks = [*TASKS, ContinuousTask("affect", ("valence", "arousal"))]
    hypermodel = make_hypermodel(tasks)
    with pytest.raises(ValueError, match=r"'val_loss' where gamma.*\(0.1, 10"):
        make_tuner(tmp_path, hypermodel=hypermodel, objective="val_loss")
    fixed = make_hypermodel(tasks, gamma=1.0)
    check = isolated_trials.check_objective
    assert check(fixed, "val_loss").direction == "min"
    held_out = hypermodel.validation_data
    held_out.labels["affect"][:] = np.nan
    for objective in ("val_affect_ccc", "val_consensus_loss"):
        with pytest.raises(
            ValueError,
            match=rf"has a label, \['object'\]. Received: {objective}$",
        ):
            make_tuner(tmp_path, hypermodel=hypermodel, objective=objective)
    check(hypermodel, ["val_object_accuracy", "val_annotator_agreement"])


def test_needs_the_hypermodel_of_this_library(tmp_path):
    with pytest.raises(ValueError, match="`hypermodel` must be a JointDis"):
        make_tuner(tmp_path, hypermodel=lambda hp: None)
    with pytest.raises(ValueError, match="`executions_per_trial` must be 1"):
        make_tuner(tmp_path, executions_per_trial=3)


@pytest.mark.distributed
def test_hyperband_goes_on_from_the_weights_of_earlier_trials(tmp_path):
    tuner = make_tuner(tmp_path, keras_tuner.Hyperband, max_epochs=3)
    tuner.search(verbose=0)
    later = [
        trial
        for trial in tuner.oracle.trials.values()
        if trial.hyperparameters.values.get("tuner/trial_id")
    ]
    assert later
    for trial in later:
        folder = pathlib.Path(tuner.get_trial_dir(trial.trial_id))
        history = json.loads((folder / "history.json").read_text())
        values = trial.hyperparameters.values
        first, last = values["tuner/initial_epoch"], values["tuner/epochs"]
        assert len(history["loss"]) == last - first
        earlier = pathlib.Path(tuner.get_trial_dir(values["tuner/trial_id"]))
        before = json.loads((earlier / "history.json").read_text())
        assert history["loss"][0] < before["loss"][0]


def start(directory, trials, **environment):
    return subprocess.Popen(
        [sys.executable, str(SEARCH), str(directory), str(trials)],
        env={**os.environ, **environment},
        start_new_session=True,
    )


@pytest.mark.distributed
def test_goes_on_after_a_kill(tmp_path):
    process = start(tmp_path, 3)
    deadline = time.time() + 300
    while finished(tmp_path) < 1 and time.time() < deadline:
        time.sleep(0.2)
    # In the course of the second trial.
    time.sleep(2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = finished(tmp_path)
    assert 1 <= before < 3
    assert start(tmp_path, 3).wait(timeout=300) == 0
    assert finished(tmp_path) == 3


@pytest.mark.distributed
def test_a_chief_and_two_workers_share_the_trials(tmp_path):
    environment = {
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(free_port()),
    }
    processes = [
        start(tmp_path, 4, KERASTUNER_TUNER_ID=name, **environment)
        for name in ("chief", "worker0", "worker1")
    ]
    assert [each.wait(timeout=500) for each in processes] == [0, 0, 0]
    assert finished(tmp_path) == 4
    scores = [
        json.loads(path.read_text())["score"]
        for path in (tmp_path / "search").glob("trial_*/trial.json")
    ]
    assert np.isfinite(scores).all()
