import pytest
from PIL import Image


@pytest.fixture
def root(tmp_path):
    """A folder of five small images."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png", "more/d.png", "more/e.png"):
        Image.new("RGB", (4, 4)).save(folder / name)
    return folder
