import numpy as np
import pytest

from keras_noisyfer.datasets.faces.alignment import read_eyes, write_eyes
from keras_noisyfer.datasets.faces.label_files import landmark_eyes, raf_eyes


def test_reads_what_the_annotators_of_raf_marked(tmp_path):
    rest = "{0}{0}\n".format("0\t0\n") + "0\n1\n2\n"
    (tmp_path / "train_00001_manu_attri.txt").write_text(
        "269.122\t313.435\n433.731\t315.021\n" + rest
    )
    (tmp_path / "test_0002_manu_attri.txt").write_bytes(
        b"  10.5 20\r\n30  40.25\r\n"
    )
    names = ["test_0002.jpg", "train_00009.jpg", "train_00001.jpg"]
    eyes = [raf_eyes(tmp_path, name) for name in names]
    assert {each.dtype for each in eyes} == {np.dtype("float64")}
    np.testing.assert_array_equal(eyes[0], [[10.5, 20], [30, 40.25]])
    assert np.isnan(eyes[1]).all()
    np.testing.assert_array_equal(
        eyes[2], [[269.122, 313.435], [433.731, 315.021]]
    )


@pytest.mark.parametrize("text", ["", "1 2\n", "1 2\n3\n", "1 2\n3 left\n"])
def test_names_a_broken_raf_annotation(tmp_path, text):
    (tmp_path / "train_00001_manu_attri.txt").write_text(text)
    with pytest.raises(ValueError, match="train_00001_manu_attri.txt must"):
        raf_eyes(tmp_path, "train_00001.jpg")


def test_eyes_of_landmarks_are_means_of_six_points():
    landmarks = np.zeros((68, 2))
    landmarks[36:42] = [[1, 2], [2, 1], [3, 1], [4, 2], [3, 3], [2, 3]]
    landmarks[42:48] = [[11, 4], [12, 3], [13, 3], [14, 4], [13, 5], [12, 5]]
    text = ";".join(f"{value:.2f}" for value in landmarks.ravel())
    flat = landmarks.ravel()
    for each in (landmarks, flat, text, f" {text}\n"):
        np.testing.assert_allclose(landmark_eyes(each), [[2.5, 2], [12.5, 4]])
    for each in (landmarks, flat, landmarks.tolist()):
        eyes = landmark_eyes(str(each))
        np.testing.assert_allclose(eyes, [[2.5, 2], [12.5, 4]])


@pytest.mark.parametrize(
    "unknown",
    [
        *("", "0", "[]", "a;b", "1;2;3", "x;" * 135 + "x", "1;" * 136),
        *(np.zeros(10), np.zeros((5, 2)), np.full((68, 2), np.nan), np.nan),
    ],
)
def test_eyes_without_68_landmarks_are_unknown(unknown):
    eyes = landmark_eyes(unknown)
    assert eyes.shape == (2, 2) and np.isnan(eyes).all()


def test_tables_of_eyes_survive_a_round_trip(tmp_path):
    names = ["a.jpg", "b, c.jpg", "NA.jpg", "007.jpg"]
    eyes = np.random.default_rng(0).uniform(0, 100, (4, 2, 2))
    eyes[1] = np.nan
    write_eyes(tmp_path / "eyes.csv", names, eyes)
    read_names, read = read_eyes(tmp_path / "eyes.csv")
    assert read_names == names
    np.testing.assert_allclose(read, eyes, rtol=1e-12)
    assert [path.name for path in tmp_path.iterdir()] == ["eyes.csv"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("image,left_x,left_y,right_x\na,1,2,3\n", "right_y"),
        ("image,left_x,left_y,right_x,right_y\na,1,2,3,x\n", "x"),
        ("", "No columns"),
    ],
)
def test_names_a_broken_table_of_eyes(tmp_path, text, message):
    path = tmp_path / "eyes.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="`path` must be a CSV") as error:
        read_eyes(path)
    assert message in str(error.value) and "\n" not in str(error.value)
