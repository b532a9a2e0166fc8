import numpy as np
import pandas as pd
import pytest

from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.table import from_csv, from_dataframe
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

FILES = ["b.png", "a.png", "more/d.png"]
KEYS = ("image", "annotator", "task", "value")
COLUMNS = {key: key for key in KEYS}
NAN = np.nan


@pytest.fixture
def data():
    """Annotators in no order, labels of every kind, some missing."""
    images = ImageArray(np.zeros((3, 4, 4, 3), "uint8"), FILES)
    names = ("calm", "happy", "3")
    tasks = [
        CategoricalTask("mood", class_names=names, annotators=3),
        CategoricalTask("age", 90, annotators=2),
        ContinuousTask("affect", ("valence", "arousal")),
    ]
    labels = {
        "mood": np.array([[2, -1, 0], [1, 1, -1], [-1, 2, 2]]),
        "age": np.array([[0, 89], [-1, 0], [5, -1]]),
        "affect": np.array([[0.1, -1], [1 / 3, NAN], [NAN, 1e-7]], "float32"),
    }
    clean = {"mood": np.array([2, -1, 0]), "affect": labels["affect"] / 3}
    annotators = {"mood": ["zoe", "ann", "10"], "age": ["ann", "bob"]}
    return LabelledImages(images, labels, tasks, clean, annotators=annotators)


def check_same(data, other):
    assert other.names == data.names
    for one in ("labels", "clean"):
        assert getattr(other, one).keys() == getattr(data, one).keys()
        for name, array in getattr(data, one).items():
            found = getattr(other, one)[name]
            np.testing.assert_array_equal(found.reshape(array.shape), array)


def test_round_trip(data, root, tmp_path):
    table = data.to_dataframe()
    assert list(table) == ["image", "task", "annotator", "value"]
    columns = {**COLUMNS, "clean": "clean"}
    same = from_dataframe(table, root, data.tasks, columns)
    check_same(data, same)
    assert same.tasks == data.tasks
    assert same.annotators == {**data.annotators, "affect": ["0"]}
    pd.testing.assert_frame_equal(same.to_dataframe(), table)
    # A file keeps the labels, and sorts the annotators.
    table.to_csv(tmp_path / "labels.csv", index=False)
    read = from_csv(tmp_path / "labels.csv", root, data.tasks, columns)
    assert read.annotators["mood"] == ["10", "ann", "zoe"]
    np.testing.assert_array_equal(
        read.labels["mood"], data.labels["mood"][:, [2, 1, 0]]
    )
    np.testing.assert_array_equal(
        read.labels["affect"][:, 0], data.labels["affect"]
    )


def test_an_annotator_called_clean(data):
    data.annotators["mood"][0] = "clean"
    with pytest.raises(ValueError, match="must not be called clean"):
        data.to_dataframe()


def test_cleanlab(data):
    table = data.to_cleanlab("mood")
    assert list(table.index) == FILES and list(table) == ["zoe", "ann", "10"]
    np.testing.assert_array_equal(
        table, [[2, NAN, 0], [1, 1, NAN], [NAN, 2, 2]]
    )
    multiannotator = pytest.importorskip("cleanlab.multiannotator")
    found = multiannotator.get_majority_vote_label(
        table, np.full((3, 3), 1 / 3), verbose=False
    )
    assert found[1:].tolist() == [1, 2]


def test_crowdkit(data):
    table = data.to_crowdkit("mood")
    assert table.values.tolist() == [
        ["b.png", "zoe", "3"],
        ["b.png", "10", "calm"],
        ["a.png", "zoe", "happy"],
        ["a.png", "ann", "happy"],
        ["more/d.png", "ann", "3"],
        ["more/d.png", "10", "3"],
    ]
    aggregation = pytest.importorskip("crowdkit.aggregation")
    found = aggregation.MajorityVote().fit_predict(table)
    assert found["a.png"] == "happy" and found["more/d.png"] == "3"


@pytest.mark.parametrize("name", ["affect", "size"])
def test_other_tasks(data, name):
    for convert in (data.to_cleanlab, data.to_crowdkit):
        with pytest.raises(ValueError, match=f"categorical task.*'{name}'"):
            convert(name)


def test_labels_are_left_out_by_their_names(data):
    rows = pd.DataFrame(
        {
            # Of a continuous task, as an audit calls its annotator.
            "image": ["b.png", "more/d.png", "b.png"],
            "task": ["mood", "age", "affect"],
            "annotator": ["zoe", "ann", "0"],
            "score": 0.1,
        }
    )
    left = data.without_labels(rows)
    expected = {name: array.copy() for name, array in data.labels.items()}
    expected["mood"][0, 0] = expected["age"][2, 0] = -1
    expected["affect"][0] = NAN
    for name, array in expected.items():
        found = left.labels[name].reshape(array.shape)
        np.testing.assert_array_equal(found, array)
    assert left.annotators == data.annotators
    # What was there is as it was.
    assert data.labels["mood"][0, 0] == 2
    check_same(data, data.without_labels(rows[:0]))
    for column, other in (("image", "c.png"), ("annotator", "joe")):
        wrong = rows.assign(**{column: [*rows[column][:2], other]})
        with pytest.raises(ValueError, match=f"labels of these.*{other}"):
            data.without_labels(wrong)
    with pytest.raises(ValueError, match="`rows` must be a DataFrame with"):
        data.without_labels(rows[["image", "task"]])
