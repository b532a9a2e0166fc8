import pytest
from common import load_recipe
from PIL import Image


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("align_faces")


@pytest.fixture
def flags(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "b.png"):
        Image.new("RGB", (100, 80), "red").save(images / name)
    table = tmp_path / "eyes.csv"
    # As a spreadsheet saves it.
    table.write_bytes(
        b"\xef\xbb\xbfimage,left_x,left_y,right_x,right_y\r\n"
        b"a.jpg,30,40,70,40\r\nb.png,30.5,40,70,41\r\nc.jpg,,,,\r\n"
    )
    output = tmp_path / "faces"
    return (
        f"--image-root {images} --eyes {table} --output-dir {output} --size 64"
    ).split()


def run_and_fail(recipe, capsys, *flags, code=1):
    with pytest.raises(SystemExit) as exit:
        recipe.main([str(flag) for flag in flags])
    assert exit.value.code == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[-1]


def test_writes_faces_and_prints_the_report(recipe, flags, tmp_path, capsys):
    recipe.main([*flags, "--on-error", "skip"])
    output = tmp_path / "faces"
    assert capsys.readouterr().out.splitlines() == [
        "accepted: 2 images",
        "rejected: 1 missing image (first: c.jpg)",
        f"Faces: {output}",
    ]
    for name in ("a.jpg", "b.png"):
        with Image.open(output / name) as image:
            assert image.size == (64, 64)
    recipe.main([*flags, "--on-error", "skip"])
    assert "made by an earlier run: 2" in capsys.readouterr().out


def test_stops_at_a_bad_image(recipe, flags, capsys):
    line = run_and_fail(recipe, capsys, *flags)
    assert line.startswith("error: c.jpg: missing image")


@pytest.mark.parametrize(
    "changed, message",
    [
        ("--size 0", "argument --size: must be at least 1. Received: 0"),
        ("--on-error stop", "argument --on-error: invalid choice: 'stop'"),
        ("--image-root nowhere", "error: `image_root` must be a folder"),
        ("--eyes nowhere.csv", "error: `path` must be a CSV file"),
    ],
)
def test_rejects_wrong_flags(recipe, flags, tmp_path, capsys, changed, message):
    # argparse says which argument it is.
    code = 2 if message.startswith("argument") else 1
    line = run_and_fail(recipe, capsys, *flags, *changed.split(), code=code)
    assert message in line
    assert not (tmp_path / "faces").exists()


def test_needs_its_flags(recipe, capsys):
    line = run_and_fail(recipe, capsys, code=2)
    assert "--image-root, --output-dir, --eyes" in line
