import csv
import dataclasses
import shutil

import numpy as np
import pytest
from common import RECIPES

from keras_noisyfer.comparison.experiment_file import read_experiment
from keras_noisyfer.comparison.report import (
    make_choice_table,
    make_tables,
    summarize,
    write_report,
)
from keras_noisyfer.comparison.runner import COLUMNS

OBJECT = "object_accuracy"
EXPRESSION, CCC, MSE = "expression_accuracy", "affect_ccc", "affect_mse"
COMMITTED = RECIPES.parent / "results" / "cifar10_small"


def read(name):
    return read_experiment(RECIPES / "experiments" / f"{name}.toml")


def write(folder, *results):
    """Results `(setting, method, seed, metric, last, chosen, best)`, after
    which others of `COLUMNS` may follow."""
    names = COLUMNS[: len(results[0])]
    with open(folder / "cells.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(
            dict(zip(names, each, strict=True)) for each in results
        )


def test_mean_and_deviation_over_seeds(tmp_path):
    write(
        tmp_path,
        ("multi-label", "proposed", 0, OBJECT, 0.5, 0.6, 0.7),
        ("multi-label", "vggnet", 0, OBJECT, 0.4, 0.41, 0.42),
        ("multi-label", "proposed", 1, OBJECT, 0.54, 0.6, 0.71),
        ("single-label", "vggnet", 0, OBJECT, 0.9, 0.9, 0.9),
    )
    summary = summarize(tmp_path, read("table1"))
    last = summary[summary["epoch"] == "last"].set_index("method")
    # In the order of the table, and of its setting alone.
    assert list(last.index) == ["vggnet", "proposed"]
    assert last.loc["proposed", "mean"] == pytest.approx(0.52)
    assert last.loc["proposed", "deviation"] == pytest.approx(
        np.std([0.5, 0.54], ddof=1)
    )
    assert list(last["seeds"]) == [1, 2]
    assert make_tables(tmp_path, read("table1")).splitlines() == [
        "multi-label, object accuracy on clean test images, percent:",
        "",
        "| method | last epoch | chosen on noisy validation labels "
        "| best test epoch (not fair) | paper, full size | seeds |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| VGGNet, all noisy labels | 40.00 | 41.00 | 42.00 | 80.23 | 1 |",
        "| Joint-distribution GAN | 52.00 ± 2.83 | 60.00 ± 0.00 "
        "| 70.50 ± 0.71 | 87.90 | 2 |",
    ]


def test_what_noisy_labels_choose(tmp_path):
    rows = [
        ("multi-label", method, seed, OBJECT, 0, chosen, 0, 9, 4, score)
        for method, seed, chosen, score in (
            ("vggnet-clean", 0, 0.99, 0.9),
            ("vggnet", 0, 0.4, 0.5),
            ("sce", 0, 0.5, 0.6),
            ("elr", 0, 0.6, 0.55),
            ("vggnet", 1, 0.44, 0.65),
            ("sce", 1, 0.7, 0.64),
            # Of one seed alone, so that it is no rival of those of both.
            ("gce", 1, 0.9, 0.1),
        )
    ]
    write(tmp_path, *rows)
    assert make_choice_table(tmp_path, read("table1")).splitlines() == [
        "| setting | by | method (seeds) | of methods | object_accuracy |",
        "| --- | --- | --- | ---: | ---: |",
        "| multi-label | noisy labels | SCE (1), VGGNet, all noisy labels (1) "
        "| 3 | 47.00 ± 4.24 |",
        "| multi-label | clean labels, one for all seeds (not fair) | SCE (2) "
        "| 2 | 60.00 ± 14.14 |",
    ]
    # In a cell that was finished by a version before, there is no score.
    write(tmp_path, *rows[1:4], [*rows[4][:9], ""], *rows[5:])
    assert "labels | SCE (2) | 2–3 | 60.00" in make_choice_table(
        tmp_path, read("table1")
    )
    write(tmp_path, *rows[1:3], [*rows[3][:9], "high"])
    with pytest.raises(ValueError, match="cells.csv must be .*'high'"):
        make_choice_table(tmp_path, read("table1"))
    # A CCC is best where it is high, an error where it is low.
    errors = [
        ("multi-label", method, 0, "affect_mse", 0, chosen, 0, 9, 4, 0.5)
        for method, chosen in (("vggnet", 0.1), ("sce", 0.5))
    ]
    write(tmp_path, *errors)
    by_error = dataclasses.replace(read("table1"), metrics=["affect_mse"])
    best = make_choice_table(tmp_path, by_error).splitlines()[-1]
    assert "(not fair) | VGGNet, all noisy labels (1) | 2 | 0.1000" in best
    # Of another metric alone there is nothing to choose.
    assert make_choice_table(tmp_path, read("table1")) == ""
    # One method is no choice.
    write(tmp_path, rows[1], rows[4])
    assert make_choice_table(tmp_path, read("table1")) == ""
    # Nor is a table without scores one, as former versions wrote it.
    (tmp_path / "cells.csv").write_text(
        "setting,method,seed,metric,last,chosen,best\n"
        f"multi-label,vggnet,0,{OBJECT},0.4,0.4,0.4\n"
        f"multi-label,sce,0,{OBJECT},0.5,0.5,0.5\n"
    )
    assert make_choice_table(tmp_path, read("table1")) == ""


def test_each_setting_has_metrics_of_its_own_tasks(tmp_path):
    expression = [("sce", 0.5, 0.6), ("vggnet", 0.4, 0.5)]
    affect = [("mixup", 0.3, 0.2), ("vggnet", 0.25, 0.4)]
    write(
        tmp_path,
        *(
            (setting, method, 0, metric, 0, chosen, 0, 9, 4, score)
            for setting, metric, cells in (
                ("expression", EXPRESSION, expression),
                ("affect", CCC, affect),
            )
            for method, chosen, score in cells
        ),
    )
    experiment = read("table2_faces")
    both = [
        dataclasses.replace(
            setting, name=name, methods=methods, options={}, method_options={}
        )
        for setting, name, methods in zip(
            experiment.settings,
            ("expression", "affect"),
            (["sce", "vggnet"], ["mixup", "vggnet"]),
            strict=False,
        )
    ]
    experiment = dataclasses.replace(experiment, settings=both)
    lines = make_choice_table(tmp_path, experiment).splitlines()[2:]
    assert [line.split(" | ")[2:] for line in lines] == [
        ["SCE (1)", "2", "50.00", "– |"],
        ["SCE (1)", "2", "50.00", "– |"],
        ["VGGNet, all noisy labels (1)", "2", "–", "0.2500 |"],
        ["Mixup (1)", "2", "–", "0.3000 |"],
    ]


def test_settings_by_methods(tmp_path):
    write(
        tmp_path,
        ("multi-label", "proposed", 0, OBJECT, 0.5, 0.6, 0.7),
        ("multi-label", "proposed", 1, OBJECT, 0.5, 0.6, 0.7),
        ("single-label", "vggnet", 0, OBJECT, 0.3, 0.31, 0.32),
        ("single-label", "proposed", 0, OBJECT, 0.2, 0.21, 0.22),
    )
    tables = make_tables(tmp_path, read("table3_cifar10")).split("\n\n")
    # One for each kind of epoch, with its title.
    assert len(tables) == 6 and "chosen on noisy" in tables[2]
    assert tables[3].splitlines() == [
        "| setting | VGGNet, all noisy labels | Joint-distribution GAN "
        "| seeds |",
        "| --- | ---: | ---: | ---: |",
        "| single-label | 31.00 (77.82) | 21.00 (84.78) | 1 |",
        "| multi-label | – | 60.00 ± 0.00 (87.90) | 2 |",
    ]


def test_settings_by_metrics(tmp_path):
    expression = "AffectNet-base, expression"
    both = "AffectNet-base, multi-task"
    write(
        tmp_path,
        (both, "vggnet", 0, EXPRESSION, 0.5, 0, 0),
        (both, "vggnet", 0, CCC, 0.25, 0, 0),
        (both, "vggnet", 0, MSE, 0.125, 0, 0),
        (expression, "sce", 0, EXPRESSION, 0.4, 0, 0),
    )
    tables = make_tables(tmp_path, read("table2_affectnet")).split("\n\n")
    assert tables[0] == "last epoch:"
    assert tables[1].splitlines() == [
        "| setting | method | expression_accuracy | affect_ccc | affect_mse "
        "| seeds |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        f"| {expression} | SCE | 40.00 (42.87) | – | – | 1 |",
        f"| {both} | VGGNet, all noisy labels | 50.00 (43.36) "
        "| 0.2500 (0.6263) | 0.1250 (0.1354) | 1 |",
    ]


def test_needs_a_finished_cell(tmp_path):
    with pytest.raises(ValueError, match="must hold the cells.csv"):
        summarize(tmp_path, read("table1"))
    write(tmp_path, ("single-label", "vggnet", 0, OBJECT, 0.3, 0.3, 0.3))
    with pytest.raises(ValueError, match="at least one finished cell"):
        summarize(tmp_path, read("table1"))


def test_committed_results_can_be_read(tmp_path, capsys):
    shutil.copytree(COMMITTED, tmp_path, dirs_exist_ok=True)
    for name in ("table1", "table3_cifar10", "lambda_cifar10"):
        tables = make_tables(tmp_path, read(name))
        assert tables + "\n" == (COMMITTED / f"{name}.md").read_text()
    drawn = sorted(path.name for path in tmp_path.glob("table1_*.png"))
    for name in drawn:
        (tmp_path / name).unlink()
    write_report(read("table1"), tmp_path)
    printed = capsys.readouterr().out
    assert "| SCE | 57.28 | 57.28 | 57.48 | 86.34 | 1 |" in printed
    # Without the images there are no examples of them, nor of the decoder's.
    drawn.remove("table1_examples_multi-label_object.png")
    drawn.remove("table1_samples_multi-label.png")
    assert "No samples are drawn: cells/multi-label/proposed" in printed
    found = sorted(path.name for path in tmp_path.glob("table1_*.png"))
    assert found == drawn
    balance = RECIPES.parent / "results" / "automatic_balance"
    tables = make_tables(balance, read("automatic_balance"))
    # Of README.
    assert "| lambda auto | 57.0" in tables
