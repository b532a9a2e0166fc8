"""Labels of another model: one form of file, read onto any data."""

import re

import numpy as np
import pandas as pd
import pytest

from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.machine_labels import check_new_table, write_table
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.table import from_csv
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

MOOD = CategoricalTask("mood", class_names=("sad", "happy"))
LEVEL = CategoricalTask("level", 4)
AFFECT = ContinuousTask("affect", ("valence", "arousal"))
TASKS = [MOOD, LEVEL, AFFECT]
LABELS = {
    "mood": np.array([[1], [0]], "int32"),
    "level": np.array([[3], [0]], "int32"),
    "affect": np.array([[[0.1, -1]], [[1 / 3, 0]]], "float32"),
}
HEADER = "image,task,annotator,value"


def images(names=("a.png", "b.png")):
    return ImageArray(np.zeros((len(names), 4, 4, 3), "uint8"), names)


def people():
    """Two people's moods, and their truth."""
    return LabelledImages(
        images(),
        {"mood": [[0, 1], [-1, 0]]},
        MOOD.with_annotators(2),
        {"mood": np.array([0, 1])},
        report=ImportReport("skip"),
        annotators={"mood": ["ann", "bob"]},
    )


def write(tmp_path, *rows):
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([HEADER, *rows, ""]))
    return path


def test_a_file_holds_what_a_model_says(tmp_path):
    machine = LabelledImages(
        images(),
        LABELS,
        TASKS,
        {"mood": np.array([0, 1])},
        annotators={name: ["mine"] for name in LABELS},
    )
    path = tmp_path / "mine.csv"
    check_new_table(path, machine)
    write_table(path, machine)
    assert path.read_bytes().decode().splitlines() == [
        HEADER,
        "a.png,mood,mine,happy",
        "a.png,level,mine,3",
        "a.png,affect.valence,mine,0.10000000149011612",
        "a.png,affect.arousal,mine,-1.0",
        "b.png,mood,mine,sad",
        "b.png,level,mine,0",
        "b.png,affect.valence,mine,0.3333333432674408",
        "b.png,affect.arousal,mine,0.0",
    ]
    data = people()
    read = data.with_machine_labels(path, LEVEL)
    assert read.names == data.names
    assert [task.name for task in read.tasks] == ["mood", "level", "affect"]
    assert {task.annotators for task in read.tasks} == {1}
    assert read.annotators == machine.annotators
    for name, array in LABELS.items():
        np.testing.assert_array_equal(read.labels[name], array)
        assert read.labels[name].dtype == array.dtype
    np.testing.assert_array_equal(read.clean["mood"], [0, 1])
    # What it was made of is as it was.
    assert data.labels["mood"].shape == (2, 2) and not data.report.notes


def test_what_a_model_does_not_say_stays(tmp_path):
    path = write(tmp_path, "b.png,valence,m,0.5", "a.png,arousal,m,-1")
    data = people()
    read = data.with_machine_labels(path)
    np.testing.assert_array_equal(read.labels["mood"], data.labels["mood"])
    nan = np.nan
    np.testing.assert_array_equal(
        read.labels["affect"], [[[nan, -1]], [[0.5, nan]]]
    )
    assert read.annotators == {"mood": ["ann", "bob"], "affect": ["m"]}


def test_several_models_and_the_truth(tmp_path):
    path = write(
        tmp_path,
        "a.png,mood,one,sad",
        "a.png,mood,two,happy",
        "b.png,mood,two,sad",
        "b.png,mood,clean,sad",
    )
    read = people().with_machine_labels(path)
    assert read.annotators == {"mood": ["one", "two"]}
    assert read.labels["mood"].tolist() == [[0, 1], [-1, 0]]
    assert read.clean["mood"].tolist() == [-1, 0]


def test_rows_can_be_put_below_a_table(tmp_path, root):
    path = write(tmp_path, "a.png,mood,m,sad", "b.png,mood,m,happy")
    rows = pd.read_csv(path)
    table = tmp_path / "table.csv"
    table.write_text(f"{HEADER}\na.png,mood,ann,happy\n")
    both = tmp_path / "both.csv"
    pd.concat([pd.read_csv(table), rows]).to_csv(both, index=False)
    data = from_csv(both, root, MOOD)
    assert data.annotators == {"mood": ["ann", "m"]}
    assert data.labels["mood"].tolist() == [[1, 0], [-1, 1]]
    read = data.with_machine_labels(path)
    assert read.labels["mood"].tolist() == [[0], [1]]


BAD = [
    ("a.png,mood,m,angry", "row 4 .a.png.: unknown class .mood: 'angry'"),
    ("a.png,mod,m,sad", "row 4 .a.png.: unknown task .'mod'; task may be mood"),
    ("a.png,valence,m,2", "row 4 .*: value out of range .affect: 2"),
    ("a.png,valence,m,x", "row 4 .*: not a number .affect: 'x'"),
    ("a.png,mood,,sad", "row 4 .*: no annotator"),
    (",mood,m,sad", "row 4: no image name"),
    ("a.png,mood,m,sad", "row 4 .a.png.: duplicate row"),
    ("a.png,mood,m,happy", "row 4 .a.png.: conflicting duplicate row"),
    ("a.png,mood,m,sad,sad", "row 4: too many values"),
]


@pytest.mark.parametrize("row, message", BAD)
def test_bad_rows(tmp_path, row, message):
    path = write(tmp_path, "a.png,mood,m,sad", "b.png,mood,m,sad", row)
    with pytest.raises(ValueError, match=message) as error:
        people().with_machine_labels(path)
    assert "\n" not in str(error.value)
    read = people().with_machine_labels(path, on_error="skip")
    assert read.labels["mood"].tolist() == [[0], [0]]
    assert len(read.report.entries) == 1


@pytest.mark.parametrize("row", [(), ("b.png,mood,m,",), ("b.png,mood,m,nan",)])
def test_images_without_a_label(tmp_path, row):
    path = write(tmp_path, "a.png,mood,m,sad", *row)
    entry = "row 3 (b.png)" if row else "b.png"
    message = f"{re.escape(entry)}: no "
    message += "label" if row else "machine label .*1 of 2 im"
    with pytest.raises(ValueError, match=message):
        people().with_machine_labels(path)
    read = people().with_machine_labels(path, on_error="skip")
    assert read.names == ["a.png"] and read.report.accepted == 1
    assert read.clean["mood"].tolist() == [0]
    assert [each for each, _, _ in read.report.entries][:1] == [entry]


def test_labels_of_no_image_are_counted(tmp_path):
    rows = [f"{name}.png,mood,m,sad" for name in "abcde"]
    read = people().with_machine_labels(write(tmp_path, *rows))
    note = "machine labels of no image, mine.csv"
    assert read.report.notes == {note: 3}
    with pytest.raises(ValueError, match="mine.csv must have a label of.*a.p"):
        people().with_machine_labels(write(tmp_path, *rows[2:]))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "first row is empty"),
        (
            "image,mood\na.png,sad\n",
            "columns image, annotator, task, value",
        ),
        ("a,b\n1,2\n", "must have the column 'image'"),
        (HEADER + "\n", "must have a label of an image of the data"),
    ],
)
def test_files_of_another_form(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        people().with_machine_labels(path)
    with pytest.raises(ValueError, match="gone.csv, where there is no file"):
        people().with_machine_labels(tmp_path / "gone.csv")


def test_what_cannot_be_written(tmp_path, monkeypatch):
    data = people()
    (tmp_path / "old.csv").touch()
    for path, message in (
        (tmp_path / "old.csv", "`path` must be that of a new .*old.csv, which"),
        (tmp_path, "`path` must be that of a new CSV file"),
        (tmp_path / "gone" / "m.csv", "`path` must be in a folder that can be"),
        (tmp_path / "clean.csv", "`path` must not be named clean"),
    ):
        with pytest.raises(ValueError, match=message):
            check_new_table(path, data)
    monkeypatch.setattr("os.access", lambda *arguments: False)
    with pytest.raises(ValueError, match="can be written to. Received: .*m.cs"):
        check_new_table(tmp_path / "m.csv", data)


def test_names_must_not_repeat(tmp_path):
    data = LabelledImages(images(["a.png"] * 2), {"mood": [0, 1]}, MOOD)
    with pytest.raises(ValueError, match="different names.*1 names of 2"):
        check_new_table(tmp_path / "mine.csv", data)
    with pytest.raises(ValueError, match="different names.*1 names of 2"):
        data.with_machine_labels(write(tmp_path, "a.png,mood,m,sad"))
