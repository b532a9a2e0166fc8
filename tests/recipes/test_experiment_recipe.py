"""The recipe that runs many cells and writes tables and figures."""

import concurrent.futures
import json
import pathlib

import numpy as np
import pandas as pd
import pytest
from common import load_recipe

from keras_noisyfer.comparison import experiment_file, runner
from keras_noisyfer.comparison.data import load_case
from keras_noisyfer.comparison.experiment import Cell
from keras_noisyfer.comparison.runner import read_rows
from keras_noisyfer.results import write_json
from keras_noisyfer.tasks import CategoricalTask

TINY = {
    "train_size": 40,
    "validation_size": 12,
    "test_size": 16,
    "epochs": 2,
    "warmup_epochs": 1,
    "batch_size": 20,
    "width": 1 / 16,
}


@pytest.fixture(autouse=True)
def tiny_profiles(monkeypatch):
    whole = experiment_file.Profile

    def tiny(**settings):
        return whole(**settings | TINY)

    monkeypatch.setattr(experiment_file, "Profile", tiny)


@pytest.fixture
def untrained(monkeypatch):
    """Cells that leave the files of one without any training: every class
    predicted is 0. Returns the list of those that were run."""
    cells = []

    class Untrained(concurrent.futures.Executor):
        def __init__(self, jobs):
            pass

        def submit(self, function, folder, threads):
            future = concurrent.futures.Future()
            try:
                cells.append(write_untrained(pathlib.Path(folder)))
                future.set_result(None)
            except ValueError as error:
                future.set_exception(error)
            return future

    monkeypatch.setattr(runner, "ProcessExecutor", Untrained)
    return cells


def write_untrained(folder):
    given = json.loads((folder / "cell.json").read_text())
    cell = Cell(**given["cell"])
    if cell.options.get("strength") == -1:
        raise ValueError("strength")
    case = load_case(
        cell.data,
        given["profile"],
        cell.seed,
        cell.tasks,
        cell.annotators,
        **given["data"],
    )
    history, test, arrays = {"epoch": [1, 2], "step": [2, 4]}, {}, {}
    joint = cell.method not in ("vggnet", "sce", "co-teaching", "elr")
    for name in ("generator_joint_loss", "discriminator_loss"):
        history[name] = [0.0, 1.0] if joint else [None, None]
    for task in case.test.tasks:
        history[f"{task.name}_loss"] = [2.0, 1.0]
        names = ["ccc", "mse"]
        clean = case.test.labels[task.name]
        arrays[f"{task.name}_clean"] = clean
        arrays[task.name] = np.zeros(len(clean), "uint8")
        if isinstance(task, CategoricalTask):
            names = ["accuracy"]
            class_names = list(task.class_names)
            images = np.zeros((2, task.num_classes, 32, 32, 3), "uint8")
            np.savez(
                folder / "samples.npz", images=images, class_names=class_names
            )
            shape = (3, task.num_classes, task.num_classes)
            uniform = np.full(shape, 1 / task.num_classes)
            named = {f"{task.name}_class_names": class_names}
            arrays |= named
            np.savez(
                folder / "annotator_models.npz",
                **{
                    f"{task.name}_learned": uniform,
                    f"{task.name}_injected": uniform,
                    **named,
                },
            )
        for name in names:
            history[f"test_{task.name}_{name}"] = [0.25, 0.5]
            kinds = {"last": 0.5, "chosen": 0.25, "best": 0.5}
            test[f"{task.name}_{name}"] = kinds
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    np.savez(folder / "predictions.npz", **arrays)
    write_json(
        folder / "results.json",
        {
            "epochs": {"last": 2, "chosen": 1},
            "steps": 4,
            "test": test,
            "seconds": 1.0,
        },
    )
    return cell


def run_recipe(name, output, *flags):
    recipe = load_recipe("experiment")
    recipe.main([name, *map(str, flags), "--output-dir", str(output)])


def files(output):
    return {each.name for each in output.iterdir() if each.suffix != ".lock"}


@pytest.mark.slow
def test_table1_trains_in_processes_and_reports_again(
    cifar10, tmp_path, capsys, monkeypatch
):
    flags = ["--data", cifar10]
    methods = ["--methods", "vggnet", "ltnet", "proposed"]
    run_recipe("table1", tmp_path, *flags, *methods)
    table = (tmp_path / "table1.md").read_text()
    rows = read_rows(tmp_path)
    assert [row["method"] for row in rows] == ["vggnet", "ltnet", "proposed"]
    for row in rows:
        for number in ("last", "chosen", "best"):
            assert f" {100 * float(row[number]):.2f} |" in table
    assert "| 80.23 |" in table and "SCE" not in table
    assert table in capsys.readouterr().out
    assert files(tmp_path) == {
        ".lock",
        "table1_accuracy_by_step_multi-label.png",
        "table1_annotators_multi-label_object_ltnet.png",
        "table1_annotators_multi-label_object_proposed.png",
        "cells",
        "cells.csv",
        "table1_confusion_matrices_multi-label_object.png",
        "table1_examples_multi-label_object.png",
        "settings.json",
        "table1_samples_multi-label.png",
        "table1.md",
    }
    monkeypatch.setattr(runner, "ProcessExecutor", None)
    (tmp_path / "table1.md").unlink()
    # As in the repository, whose results hold no images of decoders.
    cell = "cells/multi-label/proposed/seed0"
    (tmp_path / cell / "samples.npz").unlink()
    run_recipe("table1", tmp_path, *flags, "--report-only")
    assert (tmp_path / "table1.md").read_text() == table
    told = f"No samples are drawn: {cell} has no samples.npz\n"
    assert told in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.smoke
def test_table3_shares_cells_with_table1(cifar10, tmp_path, untrained):
    flags = ["--data", cifar10, "--seeds", "0", "1"]
    run_recipe("table1", tmp_path, *flags, "--methods", "vggnet")
    run_recipe("table3_cifar10", tmp_path, *flags)
    # Ten of each seed, of which one was there.
    assert len(untrained) == len(set(map(str, untrained))) == 20
    table = (tmp_path / "table3_cifar10.md").read_text()
    assert "| single-label | 50.00 ± 0.00 (77.82) |" in table
    assert "chosen on noisy validation labels" in table
    # Neither replaces a figure of the other one.
    assert {
        "table1_accuracy_by_step_multi-label.png",
        "table3_cifar10_accuracy_by_step_multi-label.png",
        "table3_cifar10_accuracy_by_step_single-label.png",
    } <= files(tmp_path)


@pytest.mark.slow
@pytest.mark.smoke
def test_table2_on_drawn_faces(tmp_path, untrained):
    run_recipe("table2_faces", tmp_path)
    assert {tuple(cell.tasks or ()) for cell in untrained} == {
        ("expression",),
        ("affect",),
        (),
    }
    table = (tmp_path / "table2_faces.md").read_text()
    line = "| synthetic faces, affect | Joint-distribution GAN | – | 0.5000"
    assert line in table
    assert {
        "table2_faces_accuracy_by_step_synthetic-faces-affect.png",
        "table2_faces_confusion_matrices_synthetic-faces-multi-task_expression.png",
        "table2_faces_examples_synthetic-faces-expression_expression.png",
    } <= files(tmp_path)


def test_lambda_study(cifar10, tmp_path, untrained):
    run_recipe("lambda_cifar10", tmp_path, "--data", cifar10)
    weights = [cell.options.get("lambda_joint") for cell in untrained]
    # 0.4 is the profile's.
    assert weights == [0.2, None, 0.6, 0.8, 1.0, "auto"]
    assert "lambda_cifar10_lambda_object_accuracy.png" in files(tmp_path)


@pytest.mark.parametrize(
    "recipe, flags, code, message",
    [
        ("table1", ["--data", "no.npz"], 1, "`path` must be an .npz file"),
        ("table1", ["--methods", "best"], 2, "some of vggnet-clean, "),
        (
            "table1",
            ["--report-only", "--methods", "sce"],
            2,
            "--methods must be left out with --report-only",
        ),
        ("table2_raf", ["--data", "nowhere"], 1, "`data_dir`"),
        ("table2_faces", ["--data", "x"], 2, "--data must be left out"),
        ("table2_faces", ["--seeds", "-1"], 2, "must be at least 0"),
        ("table3_cifar10", ["--jobs", "0"], 2, "--jobs: must be at least 1"),
        ("lambda_cifar10", ["--report-only"], 1, "must hold the cells.csv"),
        (
            "lambda_cifar10",
            ["--profile", "big"],
            1,
            "must be one of paper, small",
        ),
        ("table9", [], 1, "table9.toml must be an experiment"),
    ],
)
def test_bad_flags_are_said_in_one_line(
    recipe, flags, code, message, tmp_path, capsys, untrained
):
    with pytest.raises(SystemExit) as error:
        run_recipe(recipe, tmp_path / "run", *flags)
    assert error.value.code == code
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not untrained


def test_an_empty_output_folder_is_not_the_default(capsys, untrained):
    with pytest.raises(SystemExit):
        run_recipe("table1", "")
    assert "--output-dir: must name a folder" in capsys.readouterr().err


def test_a_failed_cell_leaves_a_report_of_the_others(
    cifar10, tmp_path, untrained, capsys
):
    path = tmp_path / "own.toml"
    path.write_text(
        f"""
        extends = "{load_recipe("experiment").EXPERIMENTS}/table1.toml"
        title = "one fails"
        [[settings]]
        name = "multi-label"
        methods = ["elr", "vggnet"]
        method_options.elr = {{ strength = -1.0 }}
        """
    )
    output = tmp_path / "run"
    with pytest.raises(SystemExit):
        run_recipe(str(path), output, "--data", cifar10)
    assert "1 cell(s) failed" in capsys.readouterr().err
    assert "| VGGNet, all noisy labels |" in (output / "own.md").read_text()
