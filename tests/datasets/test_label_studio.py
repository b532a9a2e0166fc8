import json

import numpy as np
import pandas as pd
import pytest

from keras_noisyfer.datasets.label_studio import find_image, load_label_studio
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask


def choice(value, name="mood"):
    values = value if isinstance(value, list) else [value]
    return {
        "from_name": name,
        "to_name": "image",
        "type": "choices",
        "value": {"choices": values},
    }


def number(value, name, kind="number"):
    return {"from_name": name, "type": kind, "value": {kind: value}}


def task(number, image, *annotations):
    return {
        "id": number,
        "data": {"image": image},
        "annotations": [
            {"completed_by": who, "result": list(results), **more}
            for who, results, more in annotations
        ],
    }


EXPORT = [
    task(
        7,
        "/data/upload/1/0123abcd-a.png",
        (
            "ann",
            [choice("sad"), number(0.5, "valence"), number(-1, "arousal")],
            {},
        ),
        ({"id": 2, "email": "bob@x"}, [choice("happy")], {}),
        (3, [choice("sad")], {"was_cancelled": True}),
    ),
    task(
        8,
        "/data/local-files/?d=shared/more/d.png",
        ("ann", [choice("happy"), number(4, "stars", "rating")], {}),
        (
            5,
            [choice("happy"), number(1, "stars", "rating")],
            {"ground_truth": True},
        ),
        (6, [{"from_name": "box", "type": "rectanglelabels", "value": {}}], {}),
    ),
    task(
        9,
        "https://x.org/img/b.png?s=1",
        (2, [number(2, "stars", "rating")], {}),
    ),
]


@pytest.fixture
def write(tmp_path):
    def write(content, name="export.json"):
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text)
        return path

    return write


def test_json(root, write):
    data = load_label_studio(write(EXPORT), root)
    assert data.names == ["a.png", "more/d.png", "b.png"]
    assert {each.name: each.with_annotators(1) for each in data.tasks} == {
        "affect": ContinuousTask("affect", ("valence", "arousal")),
        "mood": CategoricalTask("mood", class_names=("happy", "sad")),
        "stars": CategoricalTask("stars", class_names=("1", "2", "3", "4")),
    }
    assert data.annotators == {
        "mood": ["ann", "bob@x"],
        "stars": ["2", "ann"],
        "affect": ["ann"],
    }
    assert data.labels["mood"].tolist() == [[1, 0], [0, -1], [-1, -1]]
    assert data.labels["stars"].tolist() == [[-1, -1], [-1, 3], [1, -1]]
    assert data.labels["affect"][0].tolist() == [[0.5, -1]]
    assert data.clean["mood"].tolist() == [-1, 0, -1]
    assert data.clean["stars"].tolist() == [-1, 0, -1]


def test_a_range_makes_a_value_of_a_rating(root, write):
    data = load_label_studio(
        write(EXPORT), root, controls=["stars"], ranges={"stars": (1, 5)}
    )
    assert [*data.tasks] == [ContinuousTask("stars", ("value",), 2)]
    np.testing.assert_array_equal(
        data.labels["stars"][..., 0], [[np.nan, 0.5], [-0.5, np.nan]]
    )
    for ranges in ({"size": (0, 1)}, {"stars": (5, 1)}):
        with pytest.raises(ValueError, match="of controls: .*stars.* Received"):
            load_label_studio(write(EXPORT), root, ranges=ranges)


FLAT = [
    {"id": 1, "image": "a.png", "mood": "sad", "pain": [{"number": 0.5}]},
    {"id": 1, "image": "a.png", "mood": "happy"},
    {"id": 2, "image": "/data/upload/3/aaaaaaaa-c.png", "mood": "sad"},
]
FLAT = [
    {**each, "annotator": who, "annotation_id": who, "lead_time": 2.5}
    for who, each in enumerate(FLAT)
]


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_flat_exports(root, write, kind):
    path = write(FLAT)
    if kind == "csv":
        table = pd.DataFrame(FLAT)
        table["pain"] = table["pain"].map(json.dumps, na_action="ignore")
        path = write(table.to_csv(index=False), "export.csv")
    data = load_label_studio(path, root)
    assert data.names == ["a.png", "c.png"]
    assert data.annotators["mood"] == ["0", "1", "2"]
    assert data.labels["mood"].tolist() == [[1, 0, -1], [-1, -1, 1]]
    assert data.labels["pain"][0, 0, 0] == 0.5


def test_two_images_of_one_name_are_told(root, write):
    first, second = (
        task(n, f"s3://b/visit{n}/a.png", (who, [choice(mood)], {}))
        for n, who, mood in ((1, "ann", "sad"), (2, "bob", "happy"))
    )
    with pytest.warns(UserWarning, match="visit1/a.png and .*visit2/a.png are"):
        data = load_label_studio(write([first, second]), root)
    assert data.labels["mood"].tolist() == [[1, 0]]


def test_rows_of_too_many_values(root, write):
    text = pd.DataFrame(FLAT).drop(columns="pain").to_csv(index=False)
    path = write(f"{text}9,c.png,sad,2,2,2.5,more\n", "export.csv")
    with pytest.raises(ValueError, match="^row 5: too many values"):
        load_label_studio(path, root)
    data = load_label_studio(path, root, on_error="skip")
    assert data.labels["mood"].tolist() == [[1, 0, -1], [-1, -1, 1]]
    assert data.report.counts == {"too many values": 1}


def test_bad_labels_are_reported(root, write):
    bad = [
        task(3, "a.png", ("ann", [choice(["sad", "happy"])], {})),
        task(4, "gone.png", ("ann", [choice("sad")], {})),
        task(5, "../out.png", ("ann", [choice("sad")], {})),
    ]
    path = write(EXPORT + bad)
    with pytest.raises(
        ValueError, match=r"row 3, ann, mood \(a.png\): unknown"
    ):
        load_label_studio(path, root, controls=["mood"])
    data = load_label_studio(path, root, controls=["mood"], on_error="skip")
    assert data.names == ["a.png", "more/d.png"]
    assert data.report.counts == {
        "unknown class": 1,
        "missing image": 1,
        "path out of the image folder": 1,
    }


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "JSON file"),
        ({"id": 1}, "Received: dict in"),
        ([3], "3 for a task"),
        ([], "no label"),
        ([task(1, ["a.png"], (1, [choice("x")], {}))], "for an image"),
        (
            [task(1, "a.png", (1, [number(float("inf"), "r", "rating")], {}))],
            "2 to 1000 .*: 0$",
        ),
        (
            [{"id": 1, "annotations": [], "data": {"text": 1}}],
            ": text. Received",
        ),
        ([task(1, "a.png", (1, [{"type": "choices"}], {}))], "without 'value'"),
        ([task(1, "a.png", (1, [choice("x")], {}))], "2 to 1000 .*: 1$"),
        (
            [task(1, "a.png", (1, [number(1e6, "r", "rating")], {}))],
            "2 to 1000 .*: 1001$",
        ),
    ],
)
def test_files_that_are_no_export(root, write, content, message):
    with pytest.raises(ValueError, match=message) as error:
        load_label_studio(write(content), root)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "written, found",
    [
        ("a.png", "a.png"),
        ("/data/upload/1/0123abcd-a.png", "a.png"),
        ("/data/local-files/?d=x%2Fmore/d.png", "more/d.png"),
        ("s3://bucket/more/d.png", "more/d.png"),
        ("/data/upload/1/0123abcd-z.png", "/data/upload/1/0123abcd-z.png"),
        ("", ""),
    ],
)
def test_paths_of_label_studio(root, written, found):
    assert find_image(root, written) == found
