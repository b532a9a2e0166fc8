import numpy as np
import pandas as pd
import pytest

from keras_noisyfer.comparison.table_data import columns_of_flags
from keras_noisyfer.datasets import table
from keras_noisyfer.datasets.table import from_csv, from_dataframe
from keras_noisyfer.datasets.table_cells import read_csv
from keras_noisyfer.datasets.table_tasks import infer_tasks
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

AFFECT = ContinuousTask("affect", ("valence", "arousal"))


def test_wide_header(csv):
    path = csv(
        "image,mood.ann,valence.ann,arousal.ann,mood.bob,split,clean.mood",
        "a.png,sad,0.5,0,happy,train,sad",
        "b.png,,,,NaN,test,calm",
    )
    tasks, columns = infer_tasks(path, ignored=["split"])
    names = ("calm", "happy", "sad")
    assert tasks == [AFFECT, CategoricalTask("mood", class_names=names)]
    assert columns == {
        "image": "image",
        "mood": ["mood.ann", "mood.bob"],
        "affect": [("valence.ann", "arousal.ann")],
        "clean": {"mood": "clean.mood"},
    }


def test_clean_affect(csv):
    header = "image,valence,arousal,clean.valence,clean.arousal"
    _, columns = infer_tasks(csv(header, "a,0,0,0,0"))
    assert columns["clean"] == {"affect": ("clean.valence", "clean.arousal")}


def test_class_ids_have_no_names(csv):
    tasks, _ = infer_tasks(csv("image,mood", "a,0", "b,4", "c,2.0", "d,-1"))
    assert tasks == [CategoricalTask("mood", 5)]


def test_valence_alone_is_a_category(csv):
    tasks, _ = infer_tasks(csv("image,valence", "a,low", "b,high"))
    assert tasks == [CategoricalTask("valence", class_names=("high", "low"))]


def test_long_header(csv):
    path = csv(
        "image,annotator,task,value",
        "a,ann,mood,sad",
        "a,ann,valence,0.5",
        "a,ann,affect.arousal,0.5",
        "b,bob,mood,happy",
    )
    tasks, columns = infer_tasks(path)
    names = ("happy", "sad")
    assert tasks == [AFFECT, CategoricalTask("mood", class_names=names)]
    assert columns == {
        name: name for name in ("image", "annotator", "task", "value")
    }


def test_given_columns(csv):
    path = csv("file,m1,m2,v,a,t", "a,x,y,0,0,z")
    columns = columns_of_flags(
        "file",
        [("mood", "m1,m2")],
        [("affect", "v+a"), ("pain", "v+t")],
        [("mood", "t"), ("affect", "v+a")],
    )
    assert columns == {
        "image": "file",
        "mood": ["m1", "m2"],
        "affect": [("v", "a")],
        "pain": [("v", "t")],
        "clean": {"mood": "t", "affect": ("v", "a")},
    }
    tasks, same = infer_tasks(path, columns)
    assert same is columns
    assert set(tasks) == {
        AFFECT,
        ContinuousTask("pain", ("v", "t")),
        CategoricalTask("mood", class_names=("x", "y", "z")),
    }


def test_no_flags_leave_it_to_the_header():
    assert columns_of_flags("image") is None
    with pytest.raises(ValueError, match="at least one task.*Received: none"):
        columns_of_flags("file")
    with pytest.raises(ValueError, match="given tasks only. Received: mood"):
        columns_of_flags("image", [("a", "b")], clean=[("mood", "t")])
    for names in (["image"], ["clean"], ["mood", "mood"]):
        tasks = [(name, "a") for name in names]
        with pytest.raises(ValueError, match="Each task must be given once"):
            columns_of_flags("image", tasks)
        with pytest.raises(ValueError, match="Each task must be given once"):
            columns_of_flags("image", tasks[1:], tasks[:1])


@pytest.mark.parametrize(
    "lines, message",
    [
        (["file,mood", "a,b"], "must have the column 'image'. Received: file"),
        (["image", "a"], "a column of labels beside 'image'"),
        (["image,mood,clean", "a,b,c"], "true labels clean.<task>.*: clean"),
        (["image,mood", "a,sad"], "'mood' must have 2 to 1000 classes.*: 1"),
        (
            ["image,who,task,value", "a,ann,mood,sad", "b,bob,mood,glad"],
            "image, annotator, task, value, or `columns` must say .*who",
        ),
        (
            ["image,text"] + [f"{i},text {i}" for i in range(1001)],
            "'text' must have 2 to 1000 classes.*: 1001",
        ),
        (
            ["image,mood", "a,sad"],
            "mood.<annotator>.*`columns` says .*Received: 1",
        ),
        (
            ["image,mood,thumb", "a,x,1.png", "b,y,2.JPG"],
            "'thumb'.*: 2 file names",
        ),
        (
            ["image,key"] + [f"{i},k{i}" for i in range(30)],
            "'key' must have 2 to 1000.*: 30 different cells, as of ids",
        ),
        (
            ["image,valence_machine"] + [f"{i},0.{i:04}" for i in range(1002)],
            r"'valence_machine' .*valence.machine, .*such as {'image': "
            r"'image', 'affect': \('valence_machine', 'arousal_machine'\)}.* "
            "1002",
        ),
        (
            ["image,mood_bob"] + [f"{i},0.{i:02}" for i in range(30)],
            r"mood.bob, .*{'image': 'image', 'mood': 'mood_bob'}; `ignored`",
        ),
        (
            ["image,age"] + [f"{i},{i + 5}" for i in range(30)],
            "'age' must have 2 to 1000.*: 30 different cells, as of ids",
        ),
    ],
)
def test_headers_that_do_not_do(csv, lines, message):
    with pytest.raises(ValueError, match=message):
        infer_tasks(csv(*lines))


def test_a_long_header_makes_no_long_message(csv):
    with pytest.raises(
        ValueError, match="must have 2 to 1000 classes"
    ) as error:
        infer_tasks(csv("image," + "a" * 5000, "a,sad"))
    assert len(str(error.value)) < 1000


def test_given_columns_must_be_there(csv):
    columns = {"image": "image", "mood": ["m1", "m9"]}
    with pytest.raises(ValueError, match="`columns` must name .*: m9$"):
        infer_tasks(csv("image,m1", "a,b"), columns)


def test_long_truth_and_the_dimensions_there_are(csv):
    path = csv(
        "image,annotator,task,value",
        "a,clean,mood,sad",
        "a,ann,mood,happy",
        "a,ann,valence,0.5",
    )
    tasks, columns = infer_tasks(path)
    assert tasks[0] == ContinuousTask("affect", ("valence",))
    assert columns["clean"] == "clean"


def test_given_classes(csv):
    path = csv("image,mood", "a,sad", "b,hapy")
    tasks, _ = infer_tasks(path, classes={"mood": ["happy", "sad"]})
    assert tasks == [CategoricalTask("mood", class_names=("happy", "sad"))]
    with pytest.raises(ValueError, match="tasks: mood. Received: age"):
        infer_tasks(path, classes={"age": ["old", "young"]})


def test_a_table_that_is_read_already(csv):
    path = csv("image,mood,valence,arousal", "a,0,1,1", "b,1.0,,", "c,3,,")
    tasks, columns = infer_tasks(path)
    frame = pd.read_csv(path)
    assert infer_tasks(frame) == infer_tasks(read_csv(path)) == (tasks, columns)
    del frame["image"]
    with pytest.raises(ValueError, match="^`df` must have the column 'image'"):
        infer_tasks(frame)


@pytest.mark.parametrize(
    "columns, message",
    [
        (3, "`columns` must be a dict. Received: 3"),
        ({"image": "image", "mood": 3}, "must be a column, a tuple.*: 3"),
        ({"image": "image", "mood": []}, r"must be a column, a tuple.*: \[\]"),
    ],
)
def test_columns_that_are_none(csv, columns, message):
    with pytest.raises(ValueError, match=message):
        infer_tasks(csv("image,mood", "a,sad"), columns)


def test_the_index_of_a_long_table_may_repeat():
    rows = pd.DataFrame({"image": ["a.png", "b.png"], "annotator": "ann"})
    frame = pd.concat(
        [
            rows.assign(task="mood", value=["sad", "happy"]),
            rows.assign(task="affect.valence", value=[0.5, -0.5]),
        ]
    )
    tasks, _ = infer_tasks(frame)
    assert [each.name for each in tasks] == ["affect", "mood"]


def test_a_column_may_not_be_its_own_truth(csv, root):
    columns = {"image": "image", "mood": "a", "clean": {"mood": "a"}}
    table = csv("image,a", "a.png,sad", "b.png,happy")
    tasks, _ = infer_tasks(table, columns)
    with pytest.raises(ValueError, match="must be columns that are none of"):
        from_csv(table, root, tasks, columns)


# === Tasks that `from_csv` is not told ===


UNNAMED = "images in the folder that no row names"
TABLE = (
    "image,mood.ann,mood.bob,valence,arousal,split,clean.mood",
    "a.png,sad,happy,0.5,0,train,sad",
    "b.png,happy,,1,-1,train,happy",
    "c.png,calm,calm,0,0,test,calm",
)


def test_other_arguments_are_refused(csv, root):
    with pytest.raises(TypeError, match="`from_csv` takes .*where.*: sep"):
        from_csv(csv("image,mood", "a.png,sad"), root, sep=";")


def test_from_csv_finds_the_tasks(csv, root):
    path = csv(*TABLE)
    where = {"split": "train"}
    data = from_csv(path, root, where=where)
    told = from_csv(
        path, root, *infer_tasks(path, ignored=["split"]), where=where
    )
    # Classes of the whole file, whichever rows are chosen.
    assert data.tasks == told.tasks and data.tasks[1].num_classes == 3
    for name, labels in told.labels.items():
        np.testing.assert_array_equal(data.labels[name], labels)
    np.testing.assert_array_equal(data.clean["mood"], told.clean["mood"])
    told.report.notes |= {
        "dimensions of the task affect, inferred from the table": 2,
        "classes of the task mood, inferred from the table": 3,
    }
    assert data.report.notes == told.report.notes
    # The other rows name their images, too.
    unnamed = from_csv(path, root).report.notes[UNNAMED]
    assert data.report.notes[UNNAMED] == unnamed
    frame = pd.read_csv(path)[lambda f: f.split == "train"]
    same = from_dataframe(frame.drop(columns="split"), root)
    np.testing.assert_array_equal(same.labels["mood"], [[1, 0], [0, -1]])


def test_from_csv_finds_the_columns_of_given_tasks(csv, root):
    mood = CategoricalTask("mood", class_names=("happy", "sad", "calm"))
    data = from_csv(csv(*TABLE), root, [mood], where={"split": "train"})
    assert data.labels["mood"].tolist() == [[1, 0], [0, -1]]
    assert data.clean["mood"].tolist() == [1, 0]
    assert not any("inferred" in note for note in data.report.notes)
    with pytest.raises(ValueError, match="keys image, size, .*: image"):
        from_csv(csv(*TABLE), root, [CategoricalTask("size", 3)])


def test_from_csv_finds_the_tasks_of_long_tables(csv, root):
    path = csv(
        "image,annotator,task,value",
        "a.png,ann,mood,sad",
        "a.png,clean,mood,happy",
        "b.png,bob,valence,0.5",
        "b.png,bob,arousal,1",
    )
    data = from_csv(path, root)
    assert data.annotators == {"mood": ["ann"], "affect": ["bob"]}
    assert data.clean["mood"].tolist() == [0, -1]
    columns = {"image": "file", "annotator": "who", "task": "what"}
    columns["value"] = "said"
    names = {name: columns[name] for name in columns}
    frame = pd.read_csv(path).rename(columns=names)
    same = from_dataframe(frame, root, None, {**columns, "clean": "clean"})
    np.testing.assert_array_equal(same.labels["mood"], data.labels["mood"])


def test_a_file_is_read_once(csv, root, monkeypatch):
    reads = []
    real = table.read_csv
    monkeypatch.setattr(
        table, "read_csv", lambda path: reads.append(path) or real(path)
    )
    path = csv(*TABLE)
    from_csv(path, root, where={"split": "test"})
    assert reads == [path]
    frame = real(path)
    tasks, columns = infer_tasks(frame, ignored=["split"])
    from_csv(frame, root, tasks, columns, where={"split": "test"})
    assert reads == [path]


def test_values_may_be_in_capitals(csv):
    path = csv(
        "image,Valence.ann,Arousal.ann,clean.VALENCE,clean.arousal",
        "a.png,0.5,0,0.25,0",
    )
    tasks, columns = infer_tasks(path)
    assert tasks == [AFFECT]
    assert columns["affect"] == [("Valence.ann", "Arousal.ann")]
    assert columns["clean"] == {"affect": ("clean.VALENCE", "clean.arousal")}


def test_ids_that_begin_at_1_are_names(csv):
    path = csv("image,stars", "a.png,2", "b.png,10", "c.png,1", "d.png,2")
    ((task,), _) = infer_tasks(path)
    assert task == CategoricalTask("stars", class_names=("1", "2", "10"))
    path = csv("image,stars", "a.png,0", "b.png,3")
    assert infer_tasks(path)[0] == [CategoricalTask("stars", 4)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("image,age", "a,0.1", "b,2", "c,2"), "2 numbers that are not whole"),
        (
            ("image,mood", "a,Sad", "b,calm", "c,SAD"),
            "'mood' must differ in more than case. Received: 'SAD' and 'Sad'",
        ),
        (("image,mood",), "must have rows of labels"),
        (("image;mood", "a;sad"), "must be separated by commas"),
        # Decimal commas, as Excel writes them in much of Europe.
        (
            ("image;valence", "a;0,5", "b;0,25"),
            "none, but 2 rows of too many values. .* separated by commas; .*",
        ),
        # A data frame's index.
        ((",image,mood", "0,a,sad", "1,b,calm"), "index=False.* for column 1"),
    ],
)
def test_what_are_no_classes_is_told(csv, lines, message):
    with pytest.raises(ValueError, match=message):
        infer_tasks(csv(*lines))
