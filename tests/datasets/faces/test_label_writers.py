import pytest

from keras_noisyfer.datasets.faces.label_writers import (
    AffectNetWriter,
    RafWriter,
)

BOTH = ["affect", "expression"]


@pytest.mark.parametrize("writer", [RafWriter, AffectNetWriter])
def test_formats_of_faces_hold_two_tasks(tmp_path, writer):
    writer(tmp_path).check("mine", BOTH)
    with pytest.raises(ValueError, match="expression, affect. Received: mood"):
        writer(tmp_path).check("mine", ["mood", "affect"])


def test_what_the_loaders_need_is_written(tmp_path):
    # Else people's expressions would stand there as the machine's.
    with pytest.raises(ValueError, match="have expression, since.*: affect$"):
        AffectNetWriter(tmp_path).check("mine", ["affect"])
    AffectNetWriter(tmp_path).check("mine", ["expression"])
    for task in BOTH:
        with pytest.raises(
            ValueError, match=f"expression and affect, since.*each.*: {task}$"
        ):
            RafWriter(tmp_path).check("mine", [task])


@pytest.mark.parametrize("name", ["", "a b", "../x", None])
def test_names_are_part_of_file_names(tmp_path, name):
    with pytest.raises(ValueError, match="`name` must be letters"):
        RafWriter(tmp_path).check(name, BOTH)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "list_va_mine.txt").touch()
    with pytest.raises(ValueError, match="'mine', whose .*va_mine.txt exists"):
        RafWriter(tmp_path).check("mine", BOTH)


def test_nothing_is_hidden_in_another_folder(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "training_mine.csv").touch()
    writer = AffectNetWriter(tmp_path, searched=[tmp_path / "gone", other])
    with pytest.raises(ValueError, match="'mine', whose .*other/training_mine"):
        writer.check("mine", BOTH)
    writer.check("yours", BOTH)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="must be a folder that can be"):
        RafWriter(tmp_path / "gone").check("mine", BOTH)
