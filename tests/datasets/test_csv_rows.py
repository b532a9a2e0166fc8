import numpy as np
import pytest

from keras_noisyfer.datasets.table import from_csv
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

NAMES = ("neutral", "happy", "sad")
EXPRESSION = CategoricalTask("expression", class_names=NAMES)
AFFECT = ContinuousTask("affect", ("valence", "arousal"))
NAN = np.nan

LONG = {"image": "file", "annotator": "who", "task": "what", "value": "said"}
ONE = {"image": "file", "expression": "ann"}


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


def long_rows():
    """Every kind of row, duplicates far apart among them."""
    return [
        "a.png,ann,expression,sad,x",
        "b.png,bob,expression,happy,x",
        "",
        "b.png,bob,expression,happy,x,y",
        "a.png,ann,valence,0.5,x",
        '"a.png",bob,expression,neutral,"x\ny"',
        "b.png,ann,expression,wrong,x",
        ",,,,",
        "a.png,ann,expression,sad,x",
        "gone.png,ann,expression,sad,x",
        "b.png,bob,expression,sad,x",
        "c.png,ann,expression,,x",
        "c.png,bob,arousal,-1,x,,",
        "a.png,ann,arousal,-0.25",
        "b.png,cec,valence,3,x,y",
    ]


def test_every_kind_of_row(tmp_path, root):
    text = "\n".join(["file,who,what,said,note", *long_rows()])
    path = write(tmp_path, text)
    tasks = [EXPRESSION, AFFECT]
    whole = from_csv(path, root, tasks, LONG, on_error="skip")
    # In the order of the table.
    assert whole.report.entries == [
        ("row 5", "too many values", "6 values, 5 names of columns"),
        (
            "row 8 (b.png)",
            "unknown class",
            "expression: 'wrong'; classes are neutral, happy, sad",
        ),
        ("row 10 (a.png)", "duplicate row", "identical, see row 2"),
        ("row 11 (gone.png)", "missing image", f"no such file in {root}"),
        ("row 12 (b.png)", "conflicting duplicate row", "see row 3"),
        ("row 13 (c.png)", "no label", ""),
        ("row 14", "too many values", "7 values, 5 names of columns"),
        ("row 16", "too many values", "6 values, 5 names of columns"),
    ]
    np.testing.assert_array_equal(whole.labels["expression"], [[2, 0], [-1, 1]])
    np.testing.assert_array_equal(
        whole.labels["affect"], [[[0.5, -0.25]], [[NAN, NAN]]]
    )


def test_rows_are_numbered_where_pandas_reads_in_parts(tmp_path, root):
    # It takes 256 KiB at a time.
    blanks = [" " * 100 + ","] * 3000
    rows = ["a.png,sad", "b.png,sad,x", *blanks, "c.png,sad", "b.png,bad,x"]
    path = write(tmp_path, "\n".join(["file,ann", *rows, *rows[:1]]))
    with pytest.raises(ValueError, match="row 3: too many values"):
        from_csv(path, root, EXPRESSION, ONE)
    data = from_csv(path, root, EXPRESSION, ONE, on_error="skip")
    assert data.names == ["a.png", "c.png"]
    assert [entry for entry, _, _ in data.report.entries] == [
        "row 3",
        "row 3005",
        "row 3006 (a.png)",
    ]
    assert data.report.entries[-1][2] == "identical, see row 2"


@pytest.mark.parametrize("row", ["", ",", "  ,", " , \t", '" "," "', "\u00a0,"])
def test_rows_of_blanks_are_passed_over(tmp_path, root, row):
    text = f"file,ann\na.png,sad\n{row}\n{row}\nb.png,happy\n,bad\n"
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match="row 6: no image name"):
        from_csv(path, root, EXPRESSION, ONE)
    data = from_csv(path, root, EXPRESSION, ONE, on_error="skip")
    assert data.labels["expression"].tolist() == [[2], [1]]
    assert data.report.entries == [("row 6", "no image name", "")]


@pytest.mark.parametrize(
    "row", ["a.png,1,5,happy,", "a.png,sad,sad,", "a.png,sad,happy,,,sad"]
)
def test_shifted_row_is_rejected(tmp_path, root, row):
    header = "file,age,ann" if row.startswith("a.png,1") else "file,ann,bob"
    path = write(tmp_path, f"{header}\n{row}\n{row}\n")
    with pytest.raises(ValueError, match="row 2: too many values"):
        from_csv(path, root, EXPRESSION, ONE)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "whose first row is empty"),
        (b"\n", "whose first row is empty"),
        (b"file,ann\na.png,caf\xe9\n", "CSV file in UTF-8.*can't decode"),
        ("file,ann\na.png,sad\n".encode("utf-16"), "CSV file in UTF-8"),
        (b'file,ann\n"a.png,sad\nb.png,sad\n', "EOF inside string"),
        (b"file;ann\na.png;sad\n", "Received: file, ann. The values must be"),
        (b"file\tann\na.png\tsad\n", "must be separated by commas"),
        (b"File,ann\na.png,sad\n", "labels.csv: File, ann. Received: file$"),
        (b"file,ann,ann\na.png,sad,sad\n", "2 columns 'ann'"),
    ],
)
def test_files_that_are_no_such_table(tmp_path, root, content, message):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        from_csv(path, root, EXPRESSION, ONE, on_error="skip")
    assert "\n" not in str(error.value)


def test_path_must_be_a_file(tmp_path, root):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ValueError, match="`path` must be a CSV file"):
            from_csv(path, root, EXPRESSION, ONE)
