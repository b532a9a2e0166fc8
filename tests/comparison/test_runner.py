import dataclasses
import json
import pathlib
import subprocess

import pytest

from keras_noisyfer.comparison import runner
from keras_noisyfer.comparison.cell import Cell
from keras_noisyfer.comparison.profiles import CIFAR10_PROFILES
from keras_noisyfer.comparison.runner import (
    check_settings,
    read_rows,
    run_cells,
)
from keras_noisyfer.results import write_json

PROFILE = CIFAR10_PROFILES["small"]
RESULTS = {
    "epochs": {"last": 9, "chosen": 4},
    "steps": 18,
    "test": {
        "object_accuracy": {"last": 0.5, "chosen": 0.625, "best": 0.75},
        "affect_ccc": {"last": 0.1, "chosen": 0.2, "best": 0.3},
    },
    "seconds": 61.4,
}


class Ended:
    """A process that has ended, or is interrupted while it is waited for."""

    terminated = False

    def __init__(self, interrupted=False):
        self.interrupted = interrupted

    def poll(self):
        if self.interrupted:
            raise KeyboardInterrupt
        return 0

    def terminate(self):
        self.terminated = True


def cells(*methods, seed=0):
    return [Cell("multi-label", each, seed, "cifar10") for each in methods]


@pytest.fixture
def trained(monkeypatch):
    """The cells that would have been trained, which all succeed but SCE."""
    trained = []

    def start(command, env, stdout, pass_fds, **options):
        folder = pathlib.Path(command[-1])
        trained.append((folder.parent.name, env["TF_NUM_INTRAOP_THREADS"]))
        stdout.write("what the cell printed")
        assert json.loads((folder / "cell.json").read_text())["data"] == {}
        if folder.parent.name != "sce":
            write_json(folder / "results.json", RESULTS)
        return Ended()

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(runner, "_POLL_SECONDS", 0)
    monkeypatch.setattr(runner.os, "cpu_count", lambda: 4)
    return trained


def test_adds_each_result_once(tmp_path, trained):
    assert run_cells(cells("vggnet"), PROFILE, tmp_path) == []
    assert run_cells(cells("vggnet", "proposed"), PROFILE, tmp_path) == []
    assert trained == [("vggnet", "4"), ("proposed", "4")]
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
        "steps": "18",
        "seconds": "61",
    }
    folder = tmp_path / "cells" / "multi-label" / "vggnet" / "seed0"
    assert (folder / "log.txt").read_text() == "what the cell printed"


def test_seeds_and_settings_are_cells_of_their_own(tmp_path, trained):
    single = Cell("single-label", "vggnet", 0, "cifar10", annotators=1)
    lambdas = Cell("cifar10, lambda 0.2", "vggnet", 0, "cifar10")
    assert lambdas.folder == pathlib.Path(
        "cells/cifar10-lambda-0.2/vggnet/seed0"
    )
    every = [*cells("vggnet"), *cells("vggnet", seed=1), single, lambdas]
    run_cells(every, PROFILE, tmp_path, jobs=2)
    assert len(trained) == 4 and {threads for _, threads in trained} == {"2"}
    assert len({(r["setting"], r["seed"]) for r in read_rows(tmp_path)}) == 4


def test_goes_on_after_a_failed_cell_and_runs_it_again(
    tmp_path, trained, capsys
):
    asked = cells("sce", "vggnet")
    for _ in range(2):
        assert run_cells(asked, PROFILE, tmp_path) == asked[:1]
    assert [method for method, _ in trained] == ["sce", "vggnet", "sce"]
    assert {row["method"] for row in read_rows(tmp_path)} == {"vggnet"}
    printed = capsys.readouterr().out
    assert (
        "failed: multi-label, sce, seed 0" in printed and "log.txt" in printed
    )
    assert "1 of 2 cells are finished" in printed


def test_takes_up_a_cell_that_outlived_its_run(tmp_path, trained):
    run_cells(cells("vggnet"), PROFILE, tmp_path)
    (tmp_path / "cells.csv").unlink()
    run_cells(cells("vggnet"), PROFILE, tmp_path)
    assert len(trained) == 1 and len(read_rows(tmp_path)) == 2
    # But not one that was trained with something else.
    (tmp_path / "cells.csv").unlink()
    changed = dataclasses.replace(
        cells("vggnet")[0], options={"lambda_joint": 1.0}
    )
    run_cells([changed], PROFILE, tmp_path)
    assert len(trained) == 2


def test_an_interrupted_run_ends_its_cells(
    tmp_path, trained, monkeypatch, capsys
):
    process = Ended(interrupted=True)
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: process)
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells("vggnet", "proposed"), PROFILE, tmp_path)
    assert process.terminated and not read_rows(tmp_path)
    printed = capsys.readouterr().out
    assert printed.count("started") == 2  # once in the line on interruption
    assert "Interrupted; started again, this goes on" in printed


def test_keeps_results_of_different_settings_apart(tmp_path):
    check_settings(tmp_path, PROFILE, {"csv": "1a"})
    check_settings(tmp_path, PROFILE, {"csv": "1a"})
    other = dataclasses.replace(PROFILE, epochs=7)
    with pytest.raises(ValueError, match="of epochs=24; .*Received: epochs=7"):
        check_settings(tmp_path, other, {"csv": "1a"})
    with pytest.raises(ValueError, match="of csv=1a; others.*csv=2b"):
        check_settings(tmp_path, PROFILE, {"csv": "2b"})


def test_a_cell_run_again_starts_from_an_empty_folder(tmp_path, trained):
    asked = cells("sce")
    run_cells(asked, PROFILE, tmp_path)
    left = tmp_path / asked[0].folder / "samples.npz"
    left.write_text("")
    run_cells(asked, PROFILE, tmp_path)
    assert len(trained) == 2 and not left.exists()


def test_only_one_run_at_a_time(tmp_path, trained, monkeypatch):
    def start(command, **options):
        with pytest.raises(ValueError, match="Another run is at work in"):
            run_cells(cells("proposed"), PROFILE, tmp_path)
        return Ended()

    monkeypatch.setattr(subprocess, "Popen", start)
    assert len(run_cells(cells("vggnet"), PROFILE, tmp_path)) == 1
    assert not trained


def test_a_seed_asked_for_twice_is_one_cell(tmp_path, trained, capsys):
    run_cells(cells("vggnet") * 2, PROFILE, tmp_path)
    assert "0 of 1 cells are finished" in capsys.readouterr().out
