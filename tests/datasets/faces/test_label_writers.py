import numpy as np
import pytest
from PIL import Image

from keras_noisyfer.datasets.faces.label_writers import (
    AffectNetWriter,
    CsvWriter,
    RafWriter,
)
from keras_noisyfer.datasets.image_sources import ImageFiles
from keras_noisyfer.datasets.tables.loaders import from_csv
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

MOOD = CategoricalTask("mood", class_names=("sad", "happy"))
LEVEL = CategoricalTask("level", 4)
AFFECT = ContinuousTask("affect", ("valence", "arousal"))


@pytest.mark.parametrize("writer", [RafWriter, AffectNetWriter])
def test_formats_of_faces_hold_two_tasks(tmp_path, writer):
    writer(tmp_path).check("mine", ["affect", "expression"])
    with pytest.raises(ValueError, match="expression, affect. Received: mood"):
        writer(tmp_path).check("mine", ["mood", "affect"])


@pytest.mark.parametrize("name", ["", "a b", "../x", None])
def test_names_are_part_of_file_names(tmp_path, name):
    with pytest.raises(ValueError, match="`name` must be letters"):
        RafWriter(tmp_path).check(name, ["expression"])


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "list_va_mine.txt").touch()
    with pytest.raises(ValueError, match="'mine', whose .*va_mine.txt exists"):
        RafWriter(tmp_path).check("mine", ["expression"])


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="must be a folder that can be"):
        RafWriter(tmp_path / "gone").check("mine", ["expression"])


def test_csv_files_can_be_read_again(tmp_path):

    names = ["a.png", "b.png"]
    for name in names:
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    labels = {
        "mood": np.array([[1], [0]], "int32"),
        "level": np.array([[3], [0]], "int32"),
        "affect": np.array([[[0.1, -1]], [[1 / 3, 0]]], "float32"),
    }
    tasks = [MOOD, LEVEL, AFFECT]
    CsvWriter(tmp_path / "table.csv").write("mine", names, tasks, labels)
    columns = {
        "image": "image",
        "mood": "mood",
        "level": "level",
        "affect": ("valence", "arousal"),
    }
    data = from_csv(tmp_path / "table_mine.csv", tmp_path, tasks, columns)
    assert isinstance(data.images, ImageFiles) and data.names == names
    for name, array in labels.items():
        np.testing.assert_array_equal(data.labels[name], array)
