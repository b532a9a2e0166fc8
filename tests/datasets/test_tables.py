import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_tables import AFFECT, EXPRESSION, IDS, NAMES, NAN, ONE, SINGLE, write

from keras_noisyfer.datasets.table import from_csv, from_dataframe
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

WIDE = {
    "image": "file",
    "expression": ["ann", "bob"],
    "affect": [("ann_v", "ann_a"), ("bob_v", "bob_a")],
    "clean": {"expression": "truth", "affect": ("v", "a")},
}
LONG = {"image": "file", "annotator": "who", "task": "what", "value": "said"}


def wide_frame():
    return pd.DataFrame(
        {
            "file": ["b.png", "a.png", "more/d.png"],
            "ann": ["happy", "sad", None],
            "bob": ["neutral", "", "sad"],
            "ann_v": [0.5, -1.0, NAN],
            "ann_a": [0.25, NAN, NAN],
            "bob_v": ["", "1", "-0.5"],
            "bob_a": ["", "1e-1", " 0 "],
            "truth": ["happy", "sad", NAN],
            "v": [0.1, 0.2, 0.3],
            "a": [0.4, 0.5, NAN],
            "other": [1, 2, 3],
        }
    )


def check_wide(data):
    assert data.names == ["b.png", "a.png", "more/d.png"]
    np.testing.assert_array_equal(
        data.labels["expression"], [[1, 0], [2, -1], [-1, 2]]
    )
    np.testing.assert_array_equal(
        data.labels["affect"],
        np.array(
            [
                [[0.5, 0.25], [NAN, NAN]],
                [[-1, NAN], [1, 0.1]],
                [[NAN, NAN], [-0.5, 0]],
            ],
            "float32",
        ),
    )
    np.testing.assert_array_equal(data.clean["expression"], [1, 2, -1])
    np.testing.assert_array_equal(
        data.clean["affect"],
        np.array([[0.1, 0.4], [0.2, 0.5], [0.3, NAN]], "float32"),
    )
    assert [task.annotators for task in data.tasks] == [2, 2]
    assert data.annotators == {
        "expression": ["ann", "bob"],
        "affect": ["ann_v+ann_a", "bob_v+bob_a"],
    }
    assert data.report.counts == {}
    assert data.report.notes == {"images in the folder that no row names": 2}


# === Wide tables ===


def test_wide_dataframe(root):
    data = from_dataframe(wide_frame(), root, [EXPRESSION, AFFECT], WIDE)
    check_wide(data)
    images, labels = next(iter(data.batches((4, 4, 3), 2, training=True)))
    assert images.shape == (2, 4, 4, 3)
    assert labels["affect"].shape == (2, 2, 2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_wide_csv(tmp_path, root, encoding, newline):
    text = wide_frame().to_csv(index=False).replace("\n", newline)
    path = write(tmp_path, text, encoding)
    check_wide(from_csv(path, root, [EXPRESSION, AFFECT], WIDE))


def test_one_annotator_needs_no_list(root):
    columns = {"image": "file", "expression": "ann", "affect": ("v", "a")}
    data = from_dataframe(wide_frame(), root, [EXPRESSION, AFFECT], columns)
    np.testing.assert_array_equal(data.labels["expression"], [[1], [2], [-1]])
    assert data.labels["affect"].shape == (3, 1, 2)


@pytest.mark.parametrize("name", ["images", "numbers", "labels", "rows"])
def test_names_of_tasks_do_not_matter(root, name):
    columns = {"image": "file", name: ["ann", "bob"], "clean": {name: "truth"}}
    task = CategoricalTask(name, class_names=NAMES)
    data = from_dataframe(wide_frame(), root, task, columns)
    assert data.names == ["b.png", "a.png", "more/d.png"]
    assert data.labels[name].tolist() == [[1, 0], [2, -1], [-1, 2]]
    assert data.clean[name].tolist() == [1, 2, -1]


def test_columns_of_a_task_with_one_dimension(root):
    task = ContinuousTask("affect", ("valence",))
    columns = {"image": "file", "affect": ["ann_v", "bob_v"]}
    data = from_dataframe(wide_frame(), root, task, columns)
    np.testing.assert_array_equal(
        data.labels["affect"][..., 0], [[0.5, NAN], [-1, 1], [NAN, -0.5]]
    )


# === Long tables ===


LONG_CSV = """file,who,what,said
b.png,bob,expression,happy
b.png,ann,affect.valence,0.5
a.png,ann,expression,sad
b.png,expert,expression,neutral
b.png,ann,affect.arousal,-0.5
a.png,bob,valence,1
a.png,bob,expression,
b.png,ann,expression,neutral
a.png,expert,affect.arousal,0.25
"""


def test_long_csv(tmp_path, root):
    path = write(tmp_path, LONG_CSV)
    columns = {**LONG, "clean": "expert"}
    data = from_csv(path, root, [EXPRESSION, AFFECT], columns)
    assert data.names == ["b.png", "a.png"]
    np.testing.assert_array_equal(data.labels["expression"], [[0, 1], [2, -1]])
    np.testing.assert_array_equal(
        data.labels["affect"],
        [[[0.5, -0.5], [NAN, NAN]], [[NAN, NAN], [1, NAN]]],
    )
    np.testing.assert_array_equal(data.clean["expression"], [0, -1])
    np.testing.assert_array_equal(
        data.clean["affect"], [[NAN, NAN], [NAN, 0.25]]
    )
    both = ["ann", "bob"]
    assert data.annotators == {"expression": both, "affect": both}


def test_long_annotators_are_those_of_the_task_by_name(root):
    frame = pd.DataFrame(
        [
            ("a.png", "cec", "expression", "sad"),
            ("a.png", "bob", "valence", 0.5),
            ("a.png", "ann", "valence", -0.5),
            ("b.png", "ann", "expression", "happy"),
        ],
        columns=["file", "who", "what", "said"],
    )
    data = from_dataframe(frame, root, [EXPRESSION, AFFECT], LONG)
    assert data.annotators == {
        "expression": ["ann", "cec"],
        "affect": ["ann", "bob"],
    }
    np.testing.assert_array_equal(data.labels["expression"], [[-1, 2], [1, -1]])


def test_long_table_of_one_task_needs_no_task_column(root):
    frame = pd.DataFrame(
        {"file": ["a.png"] * 2, "who": [7, 10], "said": [2, 1]}
    )
    data = from_dataframe(frame, root, IDS, SINGLE)
    np.testing.assert_array_equal(data.labels["expression"], [[1, 2]])
    assert data.annotators == {"expression": ["10", "7"]}


@pytest.mark.parametrize(
    "row, problem",
    [
        ("a.png,,expression,sad", r"row 2 \(a.png\): no annotator \(in who"),
        (",ann,expression,sad", "row 2: no image name"),
        ("a.png,ann,age,3", r"unknown task \('age'; what may be expression,"),
        ("a.png,ann,affect,0.5", "unknown task"),
        ("a.png,ann,,0.5", "unknown task"),
        ("a.png,ann,expression,bad", "unknown class .expression: 'bad'"),
        ("a.png,ann,valence,2", "value out of range .affect: 2"),
        ("a.png,ann,expression,nan", r"row 2 \(a.png\): no label"),
    ],
)
def test_bad_long_rows(tmp_path, root, row, problem):
    good = "b.png,ann,expression,sad\nb.png,ann,arousal,0\n"
    path = write(tmp_path, f"file,who,what,said\n{row}\n{good}")
    tasks = [EXPRESSION, AFFECT]
    with pytest.raises(ValueError, match=problem):
        from_csv(path, root, tasks, LONG)
    data = from_csv(path, root, tasks, LONG, on_error="skip")
    assert data.names == ["b.png"] and len(data.report.entries) == 1


def test_clean_annotator_must_be_there(tmp_path, root):
    path = write(tmp_path, LONG_CSV)
    with pytest.raises(ValueError, match="name of an annotator.*'Expert'"):
        from_csv(path, root, [EXPRESSION, AFFECT], {**LONG, "clean": "Expert"})


# === Duplicates and images ===


def by_name(data):
    labels = data.labels["expression"].tolist()
    return dict(zip(data.names, labels, strict=True))


@pytest.mark.parametrize("again", ["a.png", "./a.png", "more/../a.png", "ROOT"])
@pytest.mark.parametrize("label", ["sad", "happy"])
def test_duplicate_rows_of_a_wide_table(tmp_path, root, again, label):
    again = again.replace("ROOT", f"{root}/a.png")
    kind = "duplicate row" if label == "sad" else "conflicting duplicate row"
    detail = "identical, see row 2" if label == "sad" else "see row 2"
    text = f"file,ann\na.png,sad\nb.png,sad\n{again},{label}\n"
    path = write(tmp_path, text)
    message = rf"row 4 \(a.png\): {kind} \({detail}\)"
    with pytest.raises(ValueError, match=message):
        from_csv(path, root, EXPRESSION, ONE)
    data = from_csv(path, root, EXPRESSION, ONE, on_error="skip")
    assert by_name(data) == {"a.png": [2], "b.png": [2]}
    assert data.report.counts == {kind: 1}
    assert f"rejected: 1 {kind} (first: row 4 (a.png))" in str(data.report)


def test_duplicate_rows_of_a_long_table(tmp_path, root):
    rows = ["a.png,ann,sad", "a.png,bob,sad", "./a.png,ann,happy"]
    path = write(tmp_path, "\n".join(["file,who,said", *rows]))
    message = r"row 4 \(a.png\): conflicting duplicate row \(see row 2\)"
    with pytest.raises(ValueError, match=message):
        from_csv(path, root, EXPRESSION, SINGLE)
    data = from_csv(path, root, EXPRESSION, SINGLE, on_error="skip")
    assert by_name(data) == {"a.png": [2, 2]}
    assert data.report.counts == {"conflicting duplicate row": 1}


def test_images_that_are_not_there_or_outside(tmp_path, root):
    Image.new("RGB", (4, 4)).save(tmp_path / "out.png")
    (root / "link.png").symlink_to(tmp_path / "out.png")
    (root / "zero.png").touch()
    files = ["gone.png", "../out.png", "link.png", "zero.png", "a.png"]
    path = write(tmp_path, "file,ann\n" + ",sad\n".join([*files, ""]))
    with pytest.raises(ValueError, match=r"row 2 \(gone.png\): missing image"):
        from_csv(path, root, EXPRESSION, ONE)
    data = from_csv(path, root, EXPRESSION, ONE, on_error="skip")
    assert data.names == ["a.png"]
    assert data.report.counts == {
        "missing image": 1,
        "path out of the image folder": 1,
        "symbolic link out of the image folder": 1,
        "empty file": 1,
    }


def test_rows_without_a_label(tmp_path, root):
    columns = {**ONE, "clean": {"expression": "truth"}}
    path = write(tmp_path, "file,ann,truth\na.png,,sad\nb.png,sad,\n,sad,\n")
    with pytest.raises(ValueError, match=r"row 2 \(a.png\): no label"):
        from_csv(path, root, EXPRESSION, columns)
    data = from_csv(path, root, EXPRESSION, columns, on_error="skip")
    assert data.names == ["b.png"]
    assert data.report.counts == {"no label": 1, "no image name": 1}


def test_labels_follow_their_images_when_rows_are_skipped(tmp_path, root):
    text = (
        "file,ann,bob,truth\na.png,sad,happy,sad\ngone.png,happy,happy,happy\n"
        "b.png,bad,sad,sad\nb.png,neutral,sad,happy\na.png,sad,happy,sad\n"
        "more/e.png,,happy,neutral\n"
    )
    columns = {"image": "file", "expression": ["ann", "bob"]}
    columns["clean"] = {"expression": "truth"}
    data = from_csv(
        write(tmp_path, text), root, EXPRESSION, columns, on_error="skip"
    )
    assert by_name(data) == {
        "a.png": [2, 1],
        "b.png": [0, 2],
        "more/e.png": [-1, 1],
    }
    np.testing.assert_array_equal(data.clean["expression"], [2, 1, 0])
    assert data.report.accepted == 3


LOST = "good labels in rows that were rejected, left out with them"


def test_labels_lost_with_a_bad_row_are_counted(tmp_path, root):
    text = (
        "file,ann,bob,cec,v,a\na.png,-,sad,happy,0.5,\n"
        "b.png,sad,,happy,,0.5\nc.png,,sad,,7,0\n,sad,,,,\n"
    )
    columns = {"image": "file", "expression": ["ann", "bob", "cec"]}
    columns["affect"] = ("v", "a")
    data = from_csv(
        write(tmp_path, text),
        root,
        [EXPRESSION, AFFECT],
        columns,
        on_error="skip",
    )
    assert by_name(data) == {"b.png": [2, -1, 1]}
    # sad, happy and valence of a.png, sad of c.png, sad without an image;
    # arousal of c.png stands beside a value out of range.
    assert data.report.notes[LOST] == 6
    assert f"{LOST}: 6" in str(data.report)


def test_no_labels_are_lost_with_a_bad_row_of_a_long_table(tmp_path, root):
    text = "file,who,said\na.png,ann,-\na.png,bob,sad\nb.png,ann,sad\n"
    path = write(tmp_path, text)
    data = from_csv(path, root, EXPRESSION, SINGLE, on_error="skip")
    assert by_name(data) == {"a.png": [-1, 2], "b.png": [2, -1]}
    assert data.report.counts == {"unknown class": 1}
    assert LOST not in data.report.notes


def test_nothing_is_left(tmp_path, root):
    path = write(tmp_path, "file,ann\ngone.png,sad\n")
    with pytest.raises(ValueError, match="must have a row.*1 missing image"):
        from_csv(path, root, EXPRESSION, ONE, on_error="skip")
    for columns, header in ((ONE, "file,ann"), (SINGLE, "file,who,said")):
        path = write(tmp_path, header)
        with pytest.raises(ValueError, match="must have a row"):
            from_csv(path, root, EXPRESSION, columns)


def test_task_without_any_label(tmp_path, root):
    path = write(tmp_path, "file,ann,v,a\na.png,sad,,\nb.png,sad,,\n")
    columns = {**ONE, "affect": ("v", "a")}
    with pytest.raises(ValueError, match="'affect' must have a label"):
        from_csv(path, root, [EXPRESSION, AFFECT], columns)


def test_where_chooses_rows(tmp_path, root):
    text = (
        "file,ann,split\na.png,sad,train\nb.png,oops,test\n"
        "more/e.png,happy,train\n"
    )
    path = write(tmp_path, text)
    data = from_csv(
        path,
        root,
        EXPRESSION,
        ONE,
        where={"split": "train"},
    )
    assert by_name(data) == {"a.png": [2], "more/e.png": [1]}
    with pytest.raises(ValueError, match=r"row 3 \(b.png\): unknown class"):
        from_csv(path, root, EXPRESSION, ONE, where={"split": "test"})
    for where in (
        {"ann": "sad", "split": "train"},
        {"split": "train", "ann": "sad"},
    ):
        for load, table in (
            (from_csv, path),
            (from_dataframe, pd.read_csv(path)),
        ):
            data = load(table, root, EXPRESSION, ONE, where=where)
            assert by_name(data) == {"a.png": [2]}


@pytest.mark.parametrize("where", ["split", {"split": 1}, {1: "train"}])
def test_where_is_a_dict_of_texts(tmp_path, root, where):
    path = write(tmp_path, "file,ann\na.png,sad\n")
    with pytest.raises(ValueError, match="`where` must be a dict by column"):
        from_csv(path, root, EXPRESSION, ONE, where=where)


def test_where_needs_its_column(tmp_path, root):
    path = write(tmp_path, "file,ann\na.png,sad\n")
    with pytest.raises(ValueError, match="Received: split"):
        from_csv(path, root, EXPRESSION, ONE, where={"split": "train"})


def test_where_chooses_a_row(tmp_path, root):
    path = write(tmp_path, "file,ann,split\na.png,sad,1.0\nb.png,sad, 2\n")
    data = from_csv(path, root, EXPRESSION, ONE, where={"split": "1"})
    assert data.names == ["a.png"]
    message = "`where` must choose a row .* split is '1', '2'. Received: {'sp"
    with pytest.raises(ValueError, match=message) as error:
        from_csv(path, root, EXPRESSION, ONE, where={"split": "3"})
    assert "\n" not in str(error.value)


def test_image_root_is_a_folder():
    with pytest.raises(ValueError, match="`image_root` must be a folder"):
        from_dataframe(pd.DataFrame({"file": []}), None, EXPRESSION, ONE)
