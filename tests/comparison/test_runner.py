import concurrent.futures
import dataclasses
import json
import multiprocessing
import pathlib

import numpy as np
import pytest

from keras_noisyfer.comparison import runner
from keras_noisyfer.comparison.cell import run_cell
from keras_noisyfer.comparison.experiment import (
    Experiment,
    Profile,
    Setting,
)
from keras_noisyfer.comparison.runner import read_rows, run_experiment
from keras_noisyfer.processes import ProcessExecutor
from keras_noisyfer.results import write_json

PROFILE = Profile(
    train_size=40,
    validation_size=12,
    test_size=16,
    image_size=32,
    epochs=2,
    warmup_epochs=1,
    batch_size=20,
    learning_rate=1e-3,
    decay=True,
    augmentation=False,
    width=1 / 16,
    batch_normalization=True,
    dropout=0.0,
    lambda_joint=0.4,
)
RESULTS = {
    "epochs": {"last": 9, "chosen": 4},
    "steps": 18,
    "noisy_score": 0.8125,
    "test": {
        "object_accuracy": {"last": 0.5, "chosen": 0.625, "best": 0.75},
        "affect_ccc": {"last": 0.1, "chosen": 0.2, "best": 0.3},
    },
    "seconds": 61.4,
}


def experiment(*methods, settings=("multi-label",), **changes):
    return Experiment(
        "test",
        "A test",
        "synthetic-faces",
        PROFILE,
        [Setting(name, methods) for name in settings],
        ["expression_accuracy"],
        **changes,
    )


class Cells(concurrent.futures.Executor):
    """Runs each cell at once, without training; SCE fails."""

    def __init__(self):
        self.run = []

    def submit(self, function, folder, threads):
        assert function is run_cell and threads is None
        folder = pathlib.Path(folder)
        given = json.loads((folder / "cell.json").read_text())
        assert given["data"] == {} and given["imports"] == []
        method = given["cell"]["method"]
        self.run.append(method)
        future = concurrent.futures.Future()
        if method == "sce":
            future.set_exception(ValueError("as it was told to"))
        else:
            write_json(folder / "results.json", RESULTS)
            future.set_result(None)
        return future


@pytest.fixture
def executor():
    return Cells()


def test_adds_each_result_once(tmp_path, executor):
    first = experiment("vggnet")
    assert run_experiment(first, tmp_path, executor=executor) == []
    both = experiment("vggnet", "proposed")
    assert run_experiment(both, tmp_path, executor=executor) == []
    assert executor.run == ["vggnet", "proposed"]
    rows = read_rows(tmp_path)
    assert [(r["method"], r["metric"]) for r in rows] == [
        ("vggnet", "object_accuracy"),
        ("vggnet", "affect_ccc"),
        ("proposed", "object_accuracy"),
        ("proposed", "affect_ccc"),
    ]
    assert rows[0] == {
        "setting": "multi-label",
        "method": "vggnet",
        "seed": "0",
        "metric": "object_accuracy",
        "last": "0.5",
        "chosen": "0.625",
        "best": "0.75",
        "last_epoch": "9",
        "chosen_epoch": "4",
        "noisy_score": "0.8125",
        "steps": "18",
        "seconds": "61",
    }


def test_seeds_settings_and_methods(tmp_path, executor):
    asked = experiment("vggnet", "elr", settings=("a", "b, lambda 0.2"))
    chosen = {"seeds": (0, 1, 1), "methods": ["vggnet"]}
    run_experiment(asked, tmp_path, executor=executor, **chosen)
    assert executor.run == ["vggnet"] * 4
    folders = {str(path.parent) for path in tmp_path.rglob("cell.json")}
    assert f"{tmp_path}/cells/b-lambda-0.2/vggnet/seed1" in folders
    rows = read_rows(tmp_path)
    assert len({(row["setting"], row["seed"]) for row in rows}) == 4


def test_goes_on_after_a_failed_cell_and_runs_it_again(
    tmp_path, executor, capsys
):
    asked = experiment("sce", "vggnet")
    for _ in range(2):
        failed = run_experiment(asked, tmp_path, executor=executor)
        assert [cell.method for cell in failed] == ["sce"]
        # What an earlier attempt has left is not taken for one of this.
        left = tmp_path / failed[0].folder / "samples.npz"
        assert not left.exists()
        left.write_text("")
    assert executor.run == ["sce", "vggnet", "sce"]
    assert {row["method"] for row in read_rows(tmp_path)} == {"vggnet"}
    printed = capsys.readouterr().out
    said = "failed: multi-label, sce, seed 0: as it was told to; see "
    assert said in printed
    assert "1 of 2 cells are finished" in printed


def test_takes_up_a_cell_that_outlived_its_run(tmp_path, executor):
    run_experiment(experiment("vggnet"), tmp_path, executor=executor)
    (tmp_path / "cells.csv").unlink()
    run_experiment(experiment("vggnet"), tmp_path, executor=executor)
    assert len(executor.run) == 1 and len(read_rows(tmp_path)) == 2
    # Also one of a version that wrote no score down.
    (tmp_path / "cells.csv").unlink()
    path = next(tmp_path.rglob("results.json"))
    results = json.loads(path.read_text())
    del results["noisy_score"]
    write_json(path, results)
    run_experiment(experiment("vggnet"), tmp_path, executor=executor)
    assert len(executor.run) == 1
    assert {row["noisy_score"] for row in read_rows(tmp_path)} == {"nan"}
    # But not one that was trained with something else.
    (tmp_path / "cells.csv").unlink()
    changed = dataclasses.replace(
        experiment("vggnet"),
        settings=[
            Setting("multi-label", ["vggnet"], options={"gamma": 2.0}),
        ],
    )
    run_experiment(changed, tmp_path, executor=executor)
    assert len(executor.run) == 2


def test_results_of_other_settings_need_another_folder(tmp_path, executor):
    run_experiment(experiment("vggnet"), tmp_path, executor=executor)
    other = dataclasses.replace(
        experiment("vggnet"), profile=dataclasses.replace(PROFILE, epochs=7)
    )
    with pytest.raises(ValueError, match="of epochs=2; .*Received: epochs=7"):
        run_experiment(other, tmp_path, executor=executor)
    (setting,) = experiment("vggnet").settings
    changed = dataclasses.replace(setting, options={"gamma": 2.0})
    other = dataclasses.replace(experiment("vggnet"), settings=[changed])
    with pytest.raises(ValueError, match="with other settings.*'gamma': 2.0"):
        run_experiment(other, tmp_path, executor=executor)
    # Where only the tables were kept nothing tells.
    run_experiment(experiment("vggnet"), tmp_path, executor=executor)
    next(tmp_path.glob("cells/**/cell.json")).unlink()
    run_experiment(other, tmp_path, executor=executor)
    assert len(executor.run) == 1


def test_wrong_data_and_methods_stop_before_any_cell(tmp_path, executor):
    other = dataclasses.replace(experiment("vggnet"), data="ferplus")
    with pytest.raises(ValueError, match="`data_dir` must hold fer2013.csv"):
        run_experiment(
            other, tmp_path, data={"data_dir": "no"}, executor=executor
        )
    assert not executor.run and not (tmp_path / "settings.json").exists()


def test_a_damaged_table_is_not_replaced(tmp_path, executor):
    for text in ("", "\x00\x01", "a,b\n1,2\n"):
        (tmp_path / "cells.csv").write_text(text)
        with pytest.raises(ValueError, match="cells.csv must be the table of"):
            run_experiment(experiment("sce"), tmp_path, executor=executor)
        assert (tmp_path / "cells.csv").read_text() == text
    with pytest.raises(ValueError, match="`executor` must be .*Received: 3"):
        run_experiment(experiment("sce"), tmp_path, executor=3)


@pytest.mark.parametrize(
    "changes, options, message",
    [
        ({"tasks": ["mood"]}, {}, "`tasks` may only have .*: .'mood'."),
        ({"annotators": 5}, {}, "`annotators` must be from 1 to 1. .*: 5"),
        ({}, {"methods": ["gce"]}, "`methods` must be a list of some of sce"),
        ({}, {"methods": []}, "`methods` must be a list .*Received: ..$"),
        ({}, {"seeds": 3}, "`seeds` must be a list of integers. .*: 3"),
    ],
)
def test_what_cannot_be_run_is_said_first(
    tmp_path, executor, changes, options, message
):
    asked = dataclasses.replace(
        experiment("sce"), settings=[Setting("one", ["sce"], **changes)]
    )
    with pytest.raises(ValueError, match=message):
        run_experiment(asked, tmp_path, executor=executor, **options)
    wrong = dataclasses.replace(experiment("sce"), metrics=["accuracy"])
    with pytest.raises(ValueError, match="`metrics` must be one of .*affect_c"):
        run_experiment(wrong, tmp_path, executor=executor)
    assert not executor.run


def test_only_one_run_at_a_time(tmp_path, executor):
    class Second(Cells):
        def submit(self, *arguments):
            with pytest.raises(ValueError, match="Another run is at work in"):
                run_experiment(experiment("elr"), tmp_path, executor=executor)
            return super().submit(*arguments)

    run_experiment(experiment("vggnet"), tmp_path, executor=Second())
    assert not executor.run


def test_an_interrupted_run_cancels_its_cells(tmp_path, monkeypatch, capsys):
    class Waiting(Cells):
        futures = []

        def submit(self, *arguments):
            self.futures.append(concurrent.futures.Future())
            return self.futures[-1]

    def interrupt(futures):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner.concurrent.futures, "as_completed", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(
            experiment("vggnet", "elr"), tmp_path, executor=Waiting()
        )
    assert all(each.cancelled() for each in Waiting.futures)
    assert not read_rows(tmp_path)
    assert "started again, this goes on" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.smoke
def test_trains_in_processes_of_its_own(tmp_path):
    """Two at once; the third fails, in its log."""
    asked = experiment("vggnet", "proposed", "elr")
    asked.settings[0].method_options["elr"] = {"strength": -1.0}
    failed = run_experiment(asked, tmp_path, jobs=2)
    assert [cell.method for cell in failed] == ["elr"]
    log = (tmp_path / failed[0].folder / "log.txt").read_text()
    assert "`strength` must be" in log
    rows = read_rows(tmp_path)
    assert {row["method"] for row in rows} == {"vggnet", "proposed"}
    for cell in asked.cells(methods=["vggnet", "proposed"]):
        log = (tmp_path / cell.folder / "log.txt").read_text()
        assert "Epoch 2/2" in log
        with np.load(tmp_path / cell.folder / "predictions.npz") as file:
            assert len(file["expression"]) == 16


def test_one_cell_at_a_time_in_a_process(tmp_path, monkeypatch):
    import keras_noisyfer.comparison.cell as cell_module

    def second(folder, threads):
        with pytest.raises(ValueError, match="`executor` must run one cell"):
            run_cell(folder)

    monkeypatch.setattr(cell_module, "_run_cell", second)
    run_cell(tmp_path)
    assert "must run one cell" in (tmp_path / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.smoke
def test_forked_processes_are_refused(tmp_path):
    """In which TensorFlow would wait forever."""
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        failed = run_experiment(experiment("sce"), tmp_path, executor=pool)
    log = (tmp_path / failed[0].folder / "log.txt").read_text()
    assert 'multiprocessing.get_context("spawn")' in log


def test_default_executor_is_one_of_processes(tmp_path, monkeypatch):
    calls = []

    class Recorded(ProcessExecutor):
        def submit(self, function, *arguments):
            calls.append((self._max_workers, *arguments))
            return Cells().submit(function, arguments[0], None)

    monkeypatch.setattr(runner, "ProcessExecutor", Recorded)
    monkeypatch.setattr(runner.os, "cpu_count", lambda: 8)
    run_experiment(experiment("vggnet"), tmp_path, jobs=2)
    folder = tmp_path / "cells" / "multi-label" / "vggnet" / "seed0"
    # The threads are divided among the jobs.
    assert calls == [(2, str(folder), 4)]
