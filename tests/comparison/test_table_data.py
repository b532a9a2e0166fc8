"""Tables of one's own as flags name them: what the test reads."""

import numpy as np
import pytest
from PIL import Image

from keras_noisyfer.comparison.choice_checks import checksum
from keras_noisyfer.comparison.table_data import load_table_data

TRAIN = """image,mood.ann,mood.bob,valence,arousal
0.png,a,b,0.5,0
1.png,b,b,0.5,0
2.png,c,c,,"""
LONG = """image,annotator,task,value
3.png,clean,mood,a
4.png,clean,mood,c
3.png,ann,mood,b
3.png,machine,valence,0.5"""
NAN = [[np.nan, np.nan]] * 2


@pytest.fixture
def load(tmp_path):
    def load(test, train=TRAIN, **options):
        for name, text in (("train", train), ("test", test)):
            (tmp_path / f"{name}.csv").write_text(text)
        for index in range(5):
            path = tmp_path / f"{index}.png"
            Image.new("RGB", (40, 40), (20 * index, 0, 0)).save(path)
        paths = {"csv": tmp_path / "train.csv", "image_root": tmp_path}
        if test:
            paths["test_csv"] = tmp_path / "test.csv"
        return load_table_data(paths | options)

    return load


@pytest.mark.parametrize(
    "test, affect",
    [
        ("image,mood\n3.png,a\n4.png,c", NAN),
        ("image,note,clean.mood\n3.png,x,a\n4.png,y,c", NAN),
        (
            "image,mood.ann,mood.bob,valence,arousal,clean.mood\n"
            "3.png,,b,0.5,0,a\n4.png,,,,,c",
            [[0.5, 0.0], NAN[0]],
        ),
        (LONG, [[0.5, np.nan], NAN[0]]),
    ],
)
def test_the_test_needs_clean_labels_alone(load, test, affect):
    train, data = load(test)
    assert data.names == ["3.png", "4.png"]
    assert [task.name for task in data.tasks] == [t.name for t in train.tasks]
    assert data.labels["mood"].tolist() == [[0], [2]]
    np.testing.assert_array_equal(data.labels["affect"][:, 0], affect)
    # An experiment and `compare` have nothing else for the truth.
    assert set(data.clean) == {"mood"}


def test_rows_of_the_same_table(load):
    table = "image,mood.ann,mood.bob,clean.mood,part\n0.png,a,b,,x\n"
    table += "1.png,b,c,,x\n3.png,,,a,y\n"
    train, data = load(
        "", table, where=[("part", "x")], test_where=[("part", "y")]
    )
    assert train.names == ["0.png", "1.png"] and data.names == ["3.png"]
    assert data.clean["mood"].tolist() == [0]


def test_other_image_files_are_other_data(load, tmp_path):
    """Of which a comparison has kept nothing."""
    data, _ = load("")
    before = checksum(data)
    assert checksum(load("")[0]) == before
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), "uint8")
    Image.fromarray(noise).save(tmp_path / "1.png")
    assert checksum(data) != before


@pytest.mark.parametrize(
    "test, message",
    [
        ("image,mood.ann,mood.bob\n3.png,a,b", "must have clean labels of"),
        ("image,colour\n3.png,red", "must have clean labels of affect or"),
        ("image,mood\n3.png,z", "unknown class"),
        ("image,mood\n0.png,a", "Test images must not be trained on"),
    ],
)
def test_a_test_without_clean_labels_is_refused(load, tmp_path, test, message):
    with pytest.raises(ValueError, match=message) as error:
        # Another way to say the same folder.
        load(test, test_image_root=tmp_path / ".." / tmp_path.name)
    assert "\n" not in str(error.value)
