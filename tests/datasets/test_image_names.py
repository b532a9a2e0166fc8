import re
import unicodedata

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_noisyfer.datasets.conversion import convert_images
from keras_noisyfer.datasets.image_names import ImageFolder
from keras_noisyfer.datasets.table import from_csv, from_dataframe
from keras_noisyfer.tasks import CategoricalTask

SHADE = CategoricalTask("shade", class_names=("dark", "light"))
COLUMNS = {"image": "image", "shade": "shade"}


def form(kind, text="Zoë/é.png"):
    return unicodedata.normalize(kind, text)


@pytest.fixture
def folder(tmp_path):
    """A folder whose images are told apart by their grey."""
    root = tmp_path / "images"
    names = ["a.png", "sub/b.png", "sub/C.JPG", form("NFD"), "é2.png"]
    for level, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (level,) * 3).save(root / name)
    return root


CERTAIN = {
    "sub\\b.png": "sub/b.png",
    ".\\sub\\..\\a.png": "a.png",
    "sub\\C.JPG": "sub/C.JPG",
    form("NFC"): form("NFD"),
    form("NFC").replace("/", "\\"): form("NFD"),
    form("NFD", "é2.png"): "é2.png",
}


@pytest.mark.parametrize("cell", CERTAIN)
def test_spellings_that_are_certain(tmp_path, folder, cell):
    frame = pd.DataFrame({"image": [cell], "shade": ["light"]})
    frame.to_csv(tmp_path / "labels.csv", index=False)
    for data in (
        from_dataframe(frame, folder, SHADE, COLUMNS),
        from_csv(tmp_path / "labels.csv", folder, SHADE, COLUMNS),
    ):
        assert data.names == [CERTAIN[cell]]
        ((images, _),) = data.batches((4, 4, 3), batch_size=8)
        with Image.open(folder / CERTAIN[cell]) as image:
            expected = np.asarray(image.convert("RGB")) / 127.5 - 1
        np.testing.assert_allclose(images[0], expected, atol=1e-6)


def test_two_spellings_are_one_image(folder):
    frame = pd.DataFrame({"image": ["sub/b.png", "sub\\b.png"]})
    frame["shade"] = "dark"
    with pytest.raises(ValueError, match=r"row 1 \(sub/b.png\): duplicate row"):
        from_dataframe(frame, folder, SHADE, COLUMNS)


def test_a_file_of_that_very_name_comes_first(folder):
    Image.new("RGB", (4, 4)).save(folder / "sub\\b.png")
    assert ImageFolder(folder).name("sub\\b.png") == "sub\\b.png"
    # Two files with normal forms of one name: neither is certain.
    for kind in ("NFC", "NFD"):
        Image.new("RGB", (4, 4)).save(folder / form(kind, "ü.png"))
    cell = form("NFC", "sub\\..\\ü.png")
    assert ImageFolder(folder).name(cell) == cell


def test_absolute_paths_where_the_folder_is_a_link(tmp_path, folder):
    (tmp_path / "link").symlink_to(folder)
    for cell in (folder / "sub/b.png", tmp_path / "link" / "sub/b.png"):
        assert ImageFolder(tmp_path / "link").name(str(cell)) == "sub/b.png"


UNCERTAIN = {
    "https://x.org//a.png": "missing image .it is a URL; .*folder has a.png",
    "s3://b/9.png": "missing image .it is a URL; `image_path` [a-z ]*[)]",
    "/data/upload/1/a.png": "path out of .*an absolute path, in .*has a.png",
    "C:\\faces\\a.png": "missing image .an absolute path, no .*has a.png",
    "A.PNG": "missing image .no such file in .*; the folder has a.png",
    "sub\\c.jpg": "missing image .*; the folder has sub/C.JPG",
    "./gone.png": "missing image .no such file in [^;]*$",
}


@pytest.mark.parametrize("cell", UNCERTAIN)
def test_cells_are_shown_as_they_are_written(folder, cell):
    frame = pd.DataFrame({"image": ["a.png", cell], "shade": "dark"})
    shown = re.escape(f"row 1 ({cell})")
    message = f"^{shown}: {UNCERTAIN[cell]}"
    with pytest.raises(ValueError, match=message) as error:
        from_dataframe(frame, folder, SHADE, COLUMNS)
    assert "\n" not in str(error.value)
    data = from_dataframe(frame, folder, SHADE, COLUMNS, on_error="skip")
    assert data.names == ["a.png"]
    assert [entry for entry, _, _ in data.report.entries] == [f"row 1 ({cell})"]


def test_bad_rows_are_in_the_order_of_the_table(folder):
    cells = ["gone.png", "a.png", "lost.png", "sub/b.png"]
    shades = ["dark", "dark", "dark", "none of them"]
    frame = pd.DataFrame({"image": cells, "shade": shades}, [7, 3, 5, 1])
    data = from_dataframe(frame, folder, SHADE, COLUMNS, on_error="skip")
    assert [entry for entry, _, _ in data.report.entries] == [
        "row 7 (gone.png)",
        "row 5 (lost.png)",
        "row 1 (sub/b.png)",
    ]


def test_images_that_are_not_there_to_be_converted(tmp_path, folder):
    report = convert_images(
        folder, tmp_path / "out", ["a.png", "A.PNG"], on_error="skip"
    )
    ((entry, problem, detail),) = report.entries
    assert (entry, problem) == ("A.PNG", "missing image")
    assert detail.endswith("; the folder has a.png")


def test_where_no_image_is_found_the_first_cell_says_why(folder):
    frame = pd.DataFrame({"image": ["A.png", "C.jpg"], "shade": "dark"})
    with pytest.raises(ValueError, match="2 missing.*A.png.: .* has a.png"):
        from_dataframe(frame, folder, SHADE, COLUMNS, on_error="skip")
