"""What a table's labels are refused for, or what is said of them."""

import warnings

import pandas as pd
import pytest

from keras_noisyfer.datasets.table_tasks import infer_tasks


def test_warns_of_annotators_that_would_be_tasks(csv):
    rows = ("a.png,round,flat,1,0", "b.png,flat,round,0,1")
    path = csv("image,shape_1,shape_2,pain1,pain2", *rows)
    with pytest.warns(UserWarning) as told:
        tasks, columns = infer_tasks(path)
    assert [task.name for task in tasks] == [*columns][1:]
    first, second = (str(each.message) for each in told)
    assert first == (
        "Columns shape_1, shape_2 are read as a task each. If they are "
        "annotators of one, call them shape.1, shape.2, or say so with "
        "`columns={'image': 'image', 'shape': ['shape_1', 'shape_2']}`"
    )
    assert "call them pain.1, pain.2" in second
    # What it says is what it takes, and is told no more.
    columns = {"image": "image", "shape": ["shape_1", "shape_2"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((task,), _) = infer_tasks(path, columns)
        infer_tasks(csv("image,hair_color,hair_length", "a,red,long", "b,x,y"))
        infer_tasks(csv("image,shape.1,shape.2", *[row[:-4] for row in rows]))
    assert task.class_names == ("flat", "round")


def test_warns_of_classes_that_may_be_misspelled(csv):
    lines = [f"{i}.png,{('sad', 'happy')[i % 2]}" for i in range(100)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        infer_tasks(csv("image,mood", *lines))
    path = csv("image,mood", *lines, "100.png,hapy", "101.png,hapy")
    with pytest.warns(UserWarning, match=r"'hapy' \(2\).*misspelled") as told:
        tasks, _ = infer_tasks(path)
    assert len(told) == 1 and "102 labels" in str(told[0].message)
    assert tasks[0].num_classes == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classes = {"mood": ["happy", "hapy", "sad"]}
        infer_tasks(path, classes=classes)


@pytest.mark.parametrize("word", ["-1", "NA", "none"])
def test_a_class_that_is_read_as_missing_is_told(word):
    cells = [word, "happy", "sad", ""] * 4
    frame = pd.DataFrame({"image": [*map(str, range(16))], "mood.ann": cells})
    with pytest.warns(UserWarning, match=f"4 of the 16 .* missing: '{word}'"):
        (task,), _ = infer_tasks(frame)
    assert task.class_names == ("happy", "sad")


@pytest.mark.parametrize("cells", [[0.1, 0.5, 0.2], ["", "dark", "blurred"]])
def test_a_column_of_other_words_is_no_annotator(cells, recwarn):
    frame = pd.DataFrame({"image": [*"abc"], "mood.a": ["sad", "sad", "calm"]})
    # One label of a class that nobody else gave.
    frame["mood.b"] = ["", "", "angry"]
    assert infer_tasks(frame) and not recwarn.list
    frame["mood.remark"] = cells
    with pytest.raises(ValueError, match="none in mood.a, mood.remark$"):
        infer_tasks(frame)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("image,mood,Clean.mood",), "clean.<task>. Received: Clean.mood"),
        (("image,mood,CLEAN",), "clean.<task>. Received: CLEAN"),
        (("image,mood.,mood",), "annotator after a column's dot.*: mood.$"),
        (
            ("image,annotator,task,value", "a,ann,mood,sad", "a,Clean,mood,x"),
            "annotator of true labels clean. Received: Clean",
        ),
    ],
)
def test_no_label_is_lost_or_leaked_by_a_name(csv, lines, message):
    rows = [each + ",1" * lines[0].count(",") for each in "ab"]
    with pytest.raises(ValueError, match=message):
        infer_tasks(csv(*lines, *rows))


def test_warns_of_ids_far_apart(csv):
    with pytest.warns(UserWarning, match="100 classes.* of which 3 are given"):
        (task,), _ = infer_tasks(csv("image,mood", "a,0", "b,5", "c,99"))
    assert task.num_classes == 100
