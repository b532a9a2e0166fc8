import numpy as np
import pandas as pd
import pytest

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


def test_wide_columns_can_be_joined_to_the_table(tmp_path, root):
    path = tmp_path / "table.csv"
    path.write_text("file,m,l,v,a\na.png,sad,1,0,0\nb.png,sad,2,0,0\n")
    columns = {"image": "file", "mood": ["m"], "level": "l"}
    columns["affect"] = [("v", "a")]
    data = from_csv(path, root, TASKS, columns)
    data.writer.check("mine", [task.name for task in TASKS])
    data.writer.write("mine", data.names, TASKS, LABELS)
    written = tmp_path / "table_mine.csv"
    assert written.read_text().splitlines()[0] == (
        "file,mood.mine,level.mine,valence.mine,arousal.mine"
    )
    joined = pd.read_csv(path).merge(pd.read_csv(written), on="file")
    joined.to_csv(path, index=False)
    columns = {
        "image": "file",
        "mood": ["m", "mood.mine"],
        "level": ["l", "level.mine"],
        "affect": [("v", "a"), ("valence.mine", "arousal.mine")],
    }
    both = from_csv(path, root, TASKS, columns)
    assert both.names == data.names
    for name, array in LABELS.items():
        np.testing.assert_array_equal(
            both.labels[name][:, :1], data.labels[name]
        )
        np.testing.assert_array_equal(both.labels[name][:, 1:], array)


def test_long_rows_can_be_put_below_the_table(tmp_path, root):
    path = tmp_path / "table.csv"
    rows = ["file,who,what,said"]
    for file in ("a.png", "b.png"):
        for what, said in (
            ("mood", 0),
            ("level", 1),
            ("valence", 0),
            ("affect.arousal", 0),
        ):
            rows.append(f"{file},ann,{what},{said}")
    path.write_text("\n".join([*rows, ""]))
    columns = dict(image="file", annotator="who", task="what", value="said")
    data = from_csv(path, root, TASKS, columns)
    data.writer.write("mine", data.names, TASKS, LABELS)
    with open(path, "a") as file:
        lines = (tmp_path / "table_mine.csv").read_text().splitlines()
        assert lines[0] == rows[0]
        # Ids, as the table has them.
        assert lines[1] == "a.png,mine,mood,1"
        file.write("\n".join(lines[1:]))
    both = from_csv(path, root, TASKS, columns)
    assert both.annotators["mood"] == ["ann", "mine"]
    for name, array in LABELS.items():
        np.testing.assert_array_equal(both.labels[name][:, 1:], array)


def test_no_file_is_overwritten(tmp_path, root):
    path = tmp_path / "table.csv"
    path.write_text("file,m\na.png,sad\n")
    data = from_csv(path, root, MOOD, {"image": "file", "mood": "m"})
    (tmp_path / "table_mine.csv").touch()
    with pytest.raises(ValueError, match="table_mine.csv exists"):
        data.writer.check("mine", ["mood"])


def test_columns_and_annotators_keep_their_own_names(tmp_path, root):
    path = tmp_path / "table.csv"
    path.write_text("file,l,v,p\na.png,1,0,0\nb.png,2,0,0\n")
    pain = ContinuousTask("pain", ("valence",))
    tasks = [CategoricalTask("valence", 4), pain]
    columns = {"image": "file", "valence": "l", "pain": "p"}
    data = from_csv(path, root, tasks, columns)
    labels = {"valence": LABELS["level"], "pain": LABELS["affect"][..., :1]}
    data.writer.write("mine", data.names, tasks, labels)
    lines = (tmp_path / "table_mine.csv").read_text().splitlines()
    assert lines[0] == "file,valence.mine,pain_valence.mine"

    path.write_text("file,who,said\na.png,expert,1\na.png,ann,1\n")
    columns = dict(image="file", annotator="who", value="said", clean="expert")
    data = from_csv(path, root, LEVEL, columns)
    for name in ("expert", "clean"):
        with pytest.raises(ValueError, match=f"count as the truth.*'{name}'"):
            data.writer.check(name, ["level"])
