import json
import math
import os
import tempfile

import numpy as np
import pytest

from keras_noisyfer.results import (
    format_table,
    prepare_output_dir,
    summarise_runs,
    write_json,
)


def test_prepare_output_dir_creates_it_and_leaves_nothing_in_it(tmp_path):
    path = tmp_path / "runs" / "first"
    for _ in range(2):
        assert prepare_output_dir(str(path)) == path
        assert path.is_dir() and not list(path.iterdir())


def test_prepare_output_dir_keeps_what_is_there(tmp_path):
    (tmp_path / "results.json").write_text("{}")
    prepare_output_dir(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["results.json"]


def test_prepare_output_dir_rejects_a_file_and_a_folder_below_one(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for path in (file, file / "runs"):
        with pytest.raises(ValueError, match="`output_dir` must.*file"):
            prepare_output_dir(path)


def test_prepare_output_dir_rejects_a_folder_without_access(
    tmp_path, monkeypatch
):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    # The superuser may write everywhere, so that no real folder would do.
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(ValueError, match="Permission denied") as error:
        prepare_output_dir(tmp_path)
    assert "\n" not in str(error.value)


def test_write_json_converts_numpy_and_what_json_lacks(tmp_path):
    path = tmp_path / "results.json"
    data = {
        "float": np.float32(0.5),
        "int": np.int64(3),
        "bool": np.bool_(True),
        "array": np.array([[1.0, np.nan], [-np.inf, 2.0]]),
        "tuple": (math.nan, None, "text", {"nested": np.float64("inf")}),
    }
    write_json(path, data)
    assert json.loads(path.read_text()) == {
        "float": 0.5,
        "int": 3,
        "bool": True,
        "array": [[1.0, None], [None, 2.0]],
        "tuple": [None, None, "text", {"nested": None}],
    }
    assert path.read_text().startswith('{\n  "float": 0.5,\n')


def test_write_json_replaces_a_file_at_once_or_not_at_all(
    tmp_path, monkeypatch
):
    path = tmp_path / "results.json"
    write_json(path, {"run": 1})
    with pytest.raises(TypeError):
        write_json(path, {"run": object()})

    def fail(source, target):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            write_json(path, {"run": 2})
    assert json.loads(path.read_text()) == {"run": 1}
    assert list(tmp_path.iterdir()) == [path]

    write_json(path, {"run": 3})
    assert json.loads(path.read_text()) == {"run": 3}
    assert list(tmp_path.iterdir()) == [path]


def test_format_table_aligns_text_left_and_numbers_right():
    rows = [
        {"method": "proposed", "accuracy": np.float32(0.75), "epochs": 5},
        {"method": "majority vote", "accuracy": 0.5, "epochs": 10},
    ]
    assert format_table(rows).splitlines() == [
        "method         accuracy  epochs",
        "-------------  --------  ------",
        "proposed          0.750       5",
        "majority vote     0.500      10",
    ]


def test_format_table_writes_no_powers_of_ten():
    numbers = (7.8e-44, 0.0004, 0.0005, 0.0, -1e-9, 1e6)
    *_, smallest, small, thousandth, zero, negative, large = format_table(
        [{"score": each} for each in numbers]
    ).split()
    assert smallest == small == "<0.001" and thousandth == "0.001"
    assert (zero, negative, large) == ("0.000", "-0.000", "1000000.000")


def test_summarise_runs_by_hand():
    runs = [
        (0, [{"method": "a", "x": 0.5}, {"method": "b", "x": 0.1}]),
        (1, [{"method": "a", "x": 0.7}, {"method": "b", "x": 0.1}]),
    ]
    by_run, by_method = summarise_runs(runs, ["x"])
    assert by_run[2] == {"seed": 1, "method": "a", "x": 0.7}
    assert by_method == [
        {"method": "a", "x": "0.600 ± 0.141", "runs": 2},
        {"method": "b", "x": "0.100 ± 0.000", "runs": 2},
    ]
    _, single = summarise_runs(runs[:1], ["x"])
    assert single[0]["x"] == "0.500"
    _, undefined = summarise_runs([(0, [{"method": "a", "x": None}])], ["x"])
    assert undefined == [{"method": "a", "x": "nan", "runs": 1}]
