import csv

import numpy as np
import pytest

from keras_noisyfer.comparison.report import (
    methods_table,
    metrics_table,
    settings_table,
    summarise,
)
from keras_noisyfer.comparison.runner import COLUMNS
from keras_noisyfer.comparison.tables import (
    ABLATIONS,
    CCC,
    EXPRESSION,
    MSE,
    OBJECT,
    lambda_study,
    table1,
    table2,
    table3,
)


def write(folder, *results):
    """Results `(setting, method, seed, metric, last, chosen, best)`."""
    names = COLUMNS[:7]
    with open(folder / "cells.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval=1)
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
    summary = summarise(tmp_path, table1())
    last = summary[summary["epoch"] == "last"].set_index("method")
    # In the order of the table, and of its setting alone.
    assert list(last.index) == ["vggnet", "proposed"]
    assert last.loc["proposed", "mean"] == pytest.approx(0.52)
    assert last.loc["proposed", "deviation"] == pytest.approx(
        np.std([0.5, 0.54], ddof=1)
    )
    assert list(last["seeds"]) == [1, 2]
    assert methods_table(summary, OBJECT).splitlines() == [
        "| method | last epoch | chosen on noisy validation labels "
        "| best test epoch (not fair) | seeds | paper, full size |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| VGGNet, all noisy labels | 40.00 | 41.00 | 42.00 | 1 | 80.23 |",
        "| Joint-distribution GAN | 52.00 ± 2.83 | 60.00 ± 0.00 "
        "| 70.50 ± 0.71 | 2 | 87.90 |",
    ]


def test_settings_by_methods(tmp_path):
    write(
        tmp_path,
        ("multi-label", "proposed", 0, OBJECT, 0.5, 0.6, 0.7),
        ("single-label", "vggnet", 0, OBJECT, 0.3, 0.31, 0.32),
        ("single-label", "proposed", 0, OBJECT, 0.2, 0.21, 0.22),
    )
    summary = summarise(tmp_path, table3("cifar10"))
    assert settings_table(summary, OBJECT, "chosen").splitlines() == [
        "| setting | VGGNet, all noisy labels | Joint-distribution GAN |",
        "| --- | ---: | ---: |",
        "| single-label | 31.00 (77.82) | 21.00 (84.78) |",
        "| multi-label | – | 60.00 (87.90) |",
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
    summary = summarise(tmp_path, table2("affectnet-base"))
    table = metrics_table(summary, (EXPRESSION, CCC, MSE))
    assert table.splitlines()[2:] == [
        f"| {expression} | SCE | 40.00 (42.87) | – | – | 1 |",
        f"| {both} | VGGNet, all noisy labels | 50.00 (43.36) "
        "| 0.2500 (0.6263) | 0.1250 (0.1354) | 1 |",
    ]


def test_needs_a_finished_cell(tmp_path):
    with pytest.raises(ValueError, match="at least one finished cell"):
        summarise(tmp_path, table1())
    write(tmp_path, ("single-label", "vggnet", 0, OBJECT, 0.3, 0.3, 0.3))
    with pytest.raises(ValueError, match="at least one finished cell"):
        summarise(tmp_path, table1())


def test_tables_have_the_papers_cells():
    assert len(table1()) == 11
    assert len(table3("cifar10")) == 10
    shared = {r.cell.folder for r in table1()} & {
        r.cell.folder for r in table3("cifar10")
    }
    # The two methods that both tables have are trained once.
    assert len(shared) == 2
    single = [r.cell for r in table3("cifar10")][: len(ABLATIONS)]
    assert {each.annotators for each in single} == {1}
    raf = {r.cell.folder: r for r in table2("raf-base")}
    assert len(raf) == 6
    assert all(set(row.paper) == {EXPRESSION} for row in raf.values())
    assert {r.cell.options["lambda_joint"] for r in raf.values()} == {1.0}
    affectnet = table2("affectnet-base")
    assert [r.cell.tasks for r in affectnet].count(("affect",)) == 2
    assert affectnet[-1].paper == {
        EXPRESSION: 0.4608,
        CCC: 0.6727,
        MSE: 0.1248,
    }
    assert not any(row.paper for row in table3("synthetic-faces"))
    study = {k: row.cell for k, row in lambda_study("cifar10").items()}
    assert list(study) == [0.2, 0.4, 0.6, 0.8, 1.0, "auto"]
    # The paper's weight is trained already.
    assert study.pop(0.4) == table1()[7].cell
    assert all(c.options == {"lambda_joint": k} for k, c in study.items())
    assert study[0.2].setting == "multi-label, lambda 0.2"
