import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest
from small_tables import (
    AFFECT,
    EXPRESSION,
    IDS,
    NAN,
    ONE,
    SINGLE,
    wide_frame,
    write,
)

from keras_noisyfer.datasets.table import from_csv, from_dataframe
from keras_noisyfer.tasks import CategoricalTask


def read_cells(root, cells, task=EXPRESSION):
    files = ["a.png", "b.png", "c.png", "more/d.png", "more/e.png"]
    frame = pd.DataFrame({"file": files[: len(cells)], "bob": "1"})
    frame["ann"] = cells
    if task.class_names and "1" not in task.class_names:
        frame["bob"] = task.class_names[0]
    columns = {"image": "file", task.name: ["ann", "bob"]}
    data = from_dataframe(frame, root, [task], columns)
    return data.labels[task.name][:, 0].tolist()


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([2, 0, -1]),
        pd.Series([2.0, 0.0, NAN]),
        pd.Series(["2", "0.0", ""]),
        pd.Series([" 2 ", "00", "-1.0"]),
        pd.Series(["2", 0, None], dtype=object),
        pd.Series(["2", "0", "NaN"], dtype="category"),
        pd.Series([2, 0, pd.NA], dtype="Int64"),
    ],
)
def test_cells_with_ids(root, cells):
    assert read_cells(root, cells, IDS) == [2, 0, -1]


@pytest.mark.parametrize("missing", ["", "nan", "None", "NULL", "n/a", "-1"])
def test_cells_with_names(root, missing):
    assert read_cells(root, ["sad", " neutral", missing]) == [2, 0, -1]


def test_class_names_win_over_ids_and_missing_cells(root):
    digits = CategoricalTask("expression", class_names=("2", "1", "none"))
    assert read_cells(root, ["2", "1", "none", "null"], digits) == [0, 1, 2, -1]


STARS = CategoricalTask("expression", class_names=("3", "4", "5"))


@pytest.mark.parametrize(
    "cells",
    [
        ["3.0", "4.0", "", "4.0"],
        ["3", " +4 ", "-1", "04"],
        ["3e0", "4.", "nan", "4.000"],
        [3, 4, NAN, 4],
        [3.0, 4.0, None, 4.0],
    ],
)
def test_numbers_that_are_class_names_are_read_alike(tmp_path, root, cells):
    files = ["a.png", "b.png", "c.png", "more/d.png"]
    frame = pd.DataFrame({"file": files, "ann": cells, "bob": "5"})
    columns = {"image": "file", "expression": ["ann", "bob"]}
    path = write(tmp_path, frame.to_csv(index=False))
    for data in (
        from_csv(path, root, STARS, columns),
        from_csv(path, root, STARS, columns, on_error="skip"),
        from_dataframe(frame, root, STARS, columns),
    ):
        assert data.labels["expression"].tolist() == [
            [0, 2],
            [1, 2],
            [-1, 2],
            [1, 2],
        ]


def test_spelling_of_numbers_that_are_names(root):
    floats = CategoricalTask("expression", class_names=("0.50", "1.0", "2"))
    assert read_cells(root, ["0.5", 1, 2.0], floats) == [0, 1, 2]
    codes = CategoricalTask("expression", class_names=("1", "01", "x"))
    assert read_cells(root, ["01", 1.0, "x"], codes) == [1, 0, 2]
    same = CategoricalTask("expression", class_names=("1", "1.0"))
    with pytest.raises(ValueError, match="`class_names` of task.*told apart"):
        read_cells(root, ["1"], same)


@pytest.mark.parametrize("cells", [["0", "1", "2"], ["3", "0", "5"]])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_there_are_no_ids_where_names_are_numbers(root, cells, on_error):
    frame = pd.DataFrame({"file": ["a.png", "b.png", "c.png"], "ann": cells})
    with pytest.raises(ValueError, match="numbers: 3, 4, 5. Received: '0' in"):
        from_dataframe(frame, root, STARS, ONE, on_error=on_error)


def test_annotators_are_read_alike(tmp_path, root):
    text = "file,who,said\na.png,1.0,sad\na.png,2.0,happy\nb.png,1,sad\n"
    columns = {**SINGLE, "clean": "2.0"}
    data = from_csv(write(tmp_path, text), root, EXPRESSION, columns)
    assert data.annotators == {"expression": ["1"]}
    assert data.labels["expression"].tolist() == [[2], [2]]
    assert data.clean["expression"].tolist() == [1, -1]


def test_ids_are_accepted_where_there_are_names(root):
    frame = pd.DataFrame({"file": ["a.png", "b.png"], "ann": ["2", "0"]})
    data = from_dataframe(frame, root, [EXPRESSION], ONE)
    np.testing.assert_array_equal(data.labels["expression"], [[2], [0]])


ACCENTS = ("caf\u00e9", "th\u00e9 ", "lait")


@pytest.mark.parametrize("names", ["NFC", "NFD"])
@pytest.mark.parametrize("cells", ["NFC", "NFD"])
def test_names_are_compared_stripped_and_in_one_form(root, names, cells):
    written = [unicodedata.normalize(names, name) for name in ACCENTS]
    task = CategoricalTask("drink", class_names=written)
    frame = pd.DataFrame(
        {
            "image": ["a.png", "b.png", "c.png"],
            "ann": ["th\u00e9", " caf\u00e9\t", "lait "],
        }
    )
    frame["ann"] = frame["ann"].map(lambda t: unicodedata.normalize(cells, t))
    data = from_dataframe(frame, root, task, {"image": "image", "drink": "ann"})
    assert data.labels["drink"].tolist() == [[1], [0], [2]]


@pytest.mark.parametrize("other", ["sad ", "cafe\u0301"])
def test_class_names_that_look_alike(root, other):
    task = CategoricalTask(
        "expression", class_names=("sad", "caf\u00e9", other)
    )
    with pytest.raises(ValueError, match="`class_names` of task.*told apart"):
        from_dataframe(wide_frame(), root, task, ONE)


@pytest.mark.parametrize(
    "column, cell, shown",
    [
        ("ann", ["sad", "happy"], r"\['sad', 'happy'\]"),
        ("ann", ("sad", "happy"), r"\('sad', 'happy'\)"),
        ("ann", {"sad": 1}, "{'sad': 1}"),
        ("ann", np.array([1, 2]), r"array\(\[1, 2\]\)"),
        ("file", ["b.png"], r"\['b.png'\]"),
        ("who", ["x"], r"\['x'\]"),
    ],
)
def test_cells_that_are_no_text_or_number(root, column, cell, shown):
    frame = wide_frame().astype({"file": object, "ann": object})
    frame["who"] = pd.Series(["x"] * 3, dtype=object)
    frame.index = ["x", "y", "z"]
    frame.at["y", column] = cell
    long = {"image": "file", "annotator": "who", "value": "ann"}
    message = f"^Each cell of `df` must.* Received: {shown} in column {column},"
    for columns in [long] + [ONE] * (column != "who"):
        for on_error in ("raise", "skip"):
            with pytest.raises(ValueError, match=message + " row y$"):
                from_dataframe(
                    frame, root, EXPRESSION, columns, on_error=on_error
                )


def test_names_and_ids_must_not_mix(tmp_path, root):
    columns = {"image": "file", "expression": ["ann", "bob"]}
    text = "file,ann,bob\na.png,happy,\nb.png,sad,2\n"
    with pytest.raises(ValueError, match="'happy' in row 2, '2' in row 3"):
        from_csv(
            write(tmp_path, text), root, EXPRESSION, columns, on_error="skip"
        )


@pytest.mark.parametrize(
    "cell, problem",
    [
        ("hapy", r"unknown class \(column ann: 'hapy'; classes are neutral"),
        ("3", r"class id out of range \(column ann: '3'"),
        ("-2", "class id out of range"),
        ("0.5", "unknown class"),
        ("{x: 1}", "unknown class .*; classes are .*; it seems to be JSON"),
        ("9" * 5000 + ".0", "unknown class"),
        ("1e999", "unknown class"),
    ],
)
def test_bad_class_names_the_row(tmp_path, root, cell, problem):
    text = f"file,ann\na.png,\nb.png,\n\nc.png,{cell}\n"
    text = text.replace("png,\n", "png,sad\n")
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=r"row 5 \(c.png\): " + problem):
        from_csv(path, root, EXPRESSION, ONE)
    data = from_csv(path, root, EXPRESSION, ONE, on_error="skip")
    assert data.names == ["a.png", "b.png"]
    assert [entry for entry, _, _ in data.report.entries] == ["row 5 (c.png)"]


@pytest.mark.parametrize(
    "cell, problem",
    [
        ("1.001", "value out of range .column v: 1.001; must be in"),
        ("-inf", "value out of range"),
        ("-2", "value out of range"),
        ("high", "not a number .column v: 'high'"),
    ],
)
def test_bad_value_names_the_row(root, cell, problem):
    frame = wide_frame().astype({"v": object})
    frame.loc[1, "v"] = cell
    columns = {"image": "file", "affect": ("v", "a")}
    with pytest.raises(ValueError, match=r"row 1 \(a.png\): " + problem):
        from_dataframe(frame, root, AFFECT, columns)


def test_dataframe_rows_are_named_by_their_index(root):
    frame = wide_frame()
    frame.index = ["x", "y", "z"]
    frame.loc["y", "ann"] = "hapy"
    with pytest.raises(ValueError, match=r"row y \(a.png\): unknown class"):
        from_dataframe(frame[frame.other > 1], root, EXPRESSION, ONE)


def test_rows_of_a_repeated_index_are_named_by_position(root):
    frame = pd.DataFrame({"file": ["a.png", "a.png"], "ann": ["sad", "sad"]})
    frame.index = [5, 5]
    with pytest.raises(ValueError, match=r"row 1 \(a.png\).*see row 0"):
        from_dataframe(frame, root, EXPRESSION, ONE)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("cells", [[3, 1], [3.0, 0], ["bad", "3"]])
def test_ids_that_begin_at_one(tmp_path, root, on_error, cells):
    frame = pd.DataFrame({"file": ["a.png", "b.png"], "ann": cells})
    path = write(tmp_path, frame.to_csv(index=False))
    for load in (
        lambda: from_dataframe(frame, root, IDS, ONE, on_error=on_error),
        lambda: from_csv(path, root, IDS, ONE, on_error=on_error),
    ):
        with pytest.raises(
            ValueError, match="must begin at 0.*: 3 in row"
        ) as e:
            load()
        assert "skip" not in str(e.value)


@pytest.mark.parametrize("cells", [[1, 2], ["1", "2.0"], [1.0, "2"]])
def test_ids_of_named_classes_without_a_zero(root, cells):
    frame = pd.DataFrame({"file": ["a.png", "b.png"], "ann": cells})
    frame["truth"] = [2, 0]
    clean = {**ONE, "clean": {"expression": "truth"}}
    note = "labels of expression with the class id 0, neutral"
    with pytest.warns(UserWarning, match="^No cell of .* of neutral") as caught:
        data = from_dataframe(frame, root, EXPRESSION, ONE)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert data.labels["expression"].tolist() == [[1], [2]]
    assert data.report.notes[note] == 0
    # A 0 anywhere tells, and without names nothing can be shifted.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for task, columns in ((EXPRESSION, clean), (IDS, ONE)):
            data = from_dataframe(frame, root, task, columns)
            assert data.labels["expression"].tolist() == [[1], [2]]
            assert note not in data.report.notes
