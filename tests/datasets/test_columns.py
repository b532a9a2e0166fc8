import numpy as np
import pandas as pd
import pytest
from small_tables import AFFECT, EXPRESSION, NAN, ONE, SINGLE, wide_frame, write

from keras_noisyfer.datasets.table import from_csv, from_dataframe
from keras_noisyfer.tasks import CategoricalTask


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"expression": "ann"}, "the key 'image'"),
        ({"image": "file"}, "must have the keys image, expression"),
        ({**ONE, "emotion": "bob"}, "must have the keys"),
        ({**ONE, "image": 3}, r"`columns\['image'\]` must be a string"),
        ({**ONE, "expression": []}, "must be a column, or a list of columns"),
        ({**ONE, "expression": ["ann", 3]}, "must be a column, or a list"),
        ({**ONE, "expression": ["ann", "ann"]}, "each column once"),
        ({**ONE, "expression": "who"}, "Received: who"),
        ({**ONE, "clean": "truth"}, "must be a dict by task name"),
        ({**ONE, "clean": {"affect": "v"}}, "must be a dict by task name"),
        (
            {**ONE, "clean": {"expression": ["ann", "bob"]}},
            "the columns of one label",
        ),
        (
            {**ONE, "clean": {"expression": "ann"}},
            r"`columns\['clean'\]\['expression'\]` must be columns that are "
            r"none of `columns\['expression'\]`.* Received: 'ann'$",
        ),
        (
            {
                "image": "file",
                "expression": ["bob", "ann"],
                "clean": {"expression": ["ann"]},
            },
            r"their own truth have no noise. Received: \['ann'\]$",
        ),
        ({**SINGLE, "annotator": "said"}, "each column once. Received: file"),
        ({"image": "file", "value": "ann"}, "keys image, annotator, value"),
        ({**SINGLE, "expression": "ann"}, "keys image, annotator, value"),
        ({**SINGLE, "clean": 3}, r"`columns\['clean'\]` must be a string"),
    ],
)
def test_rejects_wrong_columns(root, columns, message):
    with pytest.raises(ValueError, match=message):
        from_dataframe(wide_frame(), root, EXPRESSION, columns)


@pytest.mark.parametrize("given", ["v", ["v"], [("v", "a", "ann_v")], [1, 2]])
def test_rejects_wrong_columns_of_dimensions(root, given):
    columns = {"image": "file", "affect": given}
    with pytest.raises(ValueError, match=r"2 columns \(valence, arousal\)"):
        from_dataframe(wide_frame(), root, AFFECT, columns)


@pytest.mark.parametrize(
    "given, received",
    [
        (["arousal", "valence"], "arousal, valence"),
        (("Arousal", " valence"), "Arousal, valence"),
        ([("v", "a"), ("x_arousal", "x_valence")], "x_arousal, x_valence"),
        ([("arousal.ann", "valence.ann")], "arousal.ann, valence.ann"),
        (("arousal", "v"), "arousal, v"),
    ],
)
def test_rejects_columns_of_other_dimensions(root, given, received):
    message = (
        "must name the columns in the order of the dimensions: valence, "
        f"arousal. Received: {received}$"
    )
    for columns, argument in (
        ({"affect": given}, r"^`columns\['affect'\]` "),
        (
            {"affect": [("p", "q")], "clean": {"affect": given}},
            r"^`columns\['clean'\]\['affect'\]` ",
        ),
    ):
        if "clean" in columns and isinstance(given[-1], tuple):
            columns["clean"] = {"affect": given[-1]}
        with pytest.raises(ValueError, match=argument + message):
            from_dataframe(
                wide_frame(), root, AFFECT, {"image": "file", **columns}
            )


@pytest.mark.parametrize(
    "names",
    [
        ("valence", "arousal"),
        ("m_valence", "m_arousal"),
        ("VALENCE.ann", "arousal.ann"),
        ("arousal_1", "arousal_2"),
        ("nonarousal", "prevalence"),
        ("arousal_valence", "x"),
    ],
)
def test_columns_of_dimensions_in_order(root, names):
    frame = wide_frame().rename(columns=dict(zip("va", names, strict=True)))
    columns = {"image": "file", "affect": names}
    data = from_dataframe(frame, root, AFFECT, columns)
    np.testing.assert_array_equal(
        data.labels["affect"][:, 0],
        np.array([[0.1, 0.4], [0.2, 0.5], [0.3, NAN]], "float32"),
    )


CLASSES = ["neutral", "happy", "sad"]


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(
    "votes",
    [
        [[1, 0, 0], [0, 0, 1]],
        [["1.0", "0.0", "0.0"], ["0", "0", "1"]],
        [[7, 2, 1], [0, 3, 7]],
        [[0.7, 0.3, 0], [0, 0, 1]],
    ],
)
@pytest.mark.parametrize("name", ["{}", "face_{}", "{}.votes", " {}"])
def test_rejects_columns_of_classes(root, votes, name, on_error):
    used = [name.format(each).title() for each in CLASSES]
    frame = pd.DataFrame(votes, columns=used)
    frame["file"] = ["a.png", "b.png"]
    melted = frame.melt("file", used, "who", "said")
    truth = pd.DataFrame({"file": ["a.png"], "who": "truth", "said": 2})
    with_truth = pd.concat([melted, truth])
    message = (
        "^`columns` must name annotators of task 'expression', not its "
        rf"classes.*idxmax.* Received: {' '.join(', '.join(used).split())}$"
    )
    for table, columns in (
        (frame, {"image": "file", "expression": used}),
        (melted, SINGLE),
        (with_truth, {**SINGLE, "clean": "truth"}),
    ):
        with pytest.raises(ValueError, match=message):
            from_dataframe(table, root, EXPRESSION, columns, on_error=on_error)


def test_annotators_may_be_called_like_classes(root):
    frame = pd.DataFrame(
        [["a.png", "sad", "happy"], ["b.png", "", "neutral"]],
        columns=["file", "happy", "sad"],
    )
    columns = {"image": "file", "expression": ["happy", "sad"]}
    data = from_dataframe(frame, root, EXPRESSION, columns)
    assert data.labels["expression"].tolist() == [[2, 1], [-1, 0]]
    # One of them is no class.
    frame = frame.rename(columns={"happy": "ann"})
    frame[["ann", "sad"]] = [[2, 1], [1, 0]]
    columns = {"image": "file", "expression": ["ann", "sad"]}
    data = from_dataframe(frame, root, EXPRESSION, columns)
    assert data.labels["expression"].tolist() == [[2, 1], [1, 0]]


def test_several_values_need_a_task_column(root):
    with pytest.raises(ValueError, match="must have the key 'task'"):
        from_dataframe(wide_frame(), root, AFFECT, SINGLE)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"on_error": "ignore"}, "`on_error`"),
        ({"max_annotators": 0}, "`max_annotators`"),
        ({"streams": 1.5}, "`streams`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_rejects_wrong_options(tmp_path, root, options, message):
    path = write(tmp_path, "file,ann\na.png,sad\n")
    with pytest.raises(ValueError, match=message):
        from_csv(path, root, EXPRESSION, ONE, **options)


def test_rejects_other_wrong_arguments(root):
    with pytest.raises(ValueError, match="`df` must be a pandas.DataFrame"):
        from_dataframe({"file": ["a.png"]}, root, EXPRESSION, ONE)
    with pytest.raises(ValueError, match="`image_root` must be a folder"):
        from_dataframe(wide_frame(), root / "none", EXPRESSION, ONE)
    named = CategoricalTask("value", num_classes=3)
    columns = {"image": "file", "value": "ann"}
    with pytest.raises(ValueError, match="must not be named image, annotator"):
        from_dataframe(wide_frame(), root, named, columns)
