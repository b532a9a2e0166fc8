import pytest

from keras_noisyfer.datasets.table_tasks import (
    columns_of_flags,
    infer_tasks,
)
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

AFFECT = ContinuousTask("affect", ("valence", "arousal"))


@pytest.fixture
def csv(tmp_path):
    def write(*lines):
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(lines))
        return path

    return write


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
            "'valence_machine' .*valence.<annotator>.* Received: 1002",
        ),
    ],
)
def test_headers_that_do_not_do(csv, lines, message):
    with pytest.raises(ValueError, match=message):
        infer_tasks(csv(*lines))


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
