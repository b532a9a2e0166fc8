import json
import os

import numpy as np
import pytest
import tensorflow as tf
from fixtures_faces import refusal
from PIL import Image, ImageFile, PngImagePlugin

from keras_noisyfer.datasets import conversion
from keras_noisyfer.datasets.conversion import convert_images
from keras_noisyfer.datasets.image_files import (
    UnusableImage,
    check_image,
    upright_rgb,
)

HEIGHT, WIDTH = 20, 32


def picture():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    red, green = 255 * x / WIDTH, 255 * y / HEIGHT
    array = np.stack([red, green, 255 - red], axis=-1).astype("uint8")
    return Image.fromarray(array)


def pixels(path):
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image).astype(int)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    return root


@pytest.fixture
def output(tmp_path):
    return tmp_path / "converted"


def save_rotated(path):
    # A viewer turns it a quarter clockwise.
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture().transpose(Image.Transpose.ROTATE_90)
    turned.save(path, exif=exif, quality=100, subsampling=0)


def save_grey16(path):
    values = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 102
    Image.fromarray(values.astype("uint16")).save(path)


def grey16():
    values = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 102
    return np.repeat(np.round(values / 257)[..., None], 3, axis=-1)


def expected_palette():
    return np.asarray(picture().quantize(16).convert("RGB"))


# Name: (what writes the file, what its copy shows, largest difference).
CONVERTIBLE = {
    "cmyk.jpg": (
        lambda path: picture().convert("CMYK").save(path, quality=100),
        picture,
        12,
    ),
    "grey16.png": (save_grey16, grey16, 0),
    "palette.png": (
        lambda path: picture().quantize(16).save(path),
        expected_palette,
        0,
    ),
    "rotated.jpg": (save_rotated, picture, 12),
    "png_inside.jpg": (
        lambda path: picture().save(path, "PNG"),
        picture,
        12,
    ),
    "jpeg_inside.png": (
        lambda path: picture().save(path, "JPEG", quality=100, subsampling=0),
        picture,
        4,
    ),
    "gif_inside.bmp": (
        lambda path: picture().quantize(16).save(path, "GIF"),
        expected_palette,
        0,
    ),
    "webp_inside.PNG": (
        lambda path: picture().save(path, "WEBP", lossless=True),
        picture,
        0,
    ),
}


@pytest.mark.parametrize("name", CONVERTIBLE)
def test_makes_readable_copies_of_the_same_look(root, output, name):
    write, expected, difference = CONVERTIBLE[name]
    write(root / name)
    assert refusal(check_image, str(root / name)) is not None
    report = convert_images(root, output)
    assert report.accepted == 1 and not report.entries and not report.notes
    assert refusal(check_image, str(output / name)) is None
    found = pixels(output / name)
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(found - np.asarray(expected())).max() <= difference


@pytest.mark.parametrize("name", ["cat.gif", "cat.webp", "cat.tif"])
def test_other_extensions_get_png_added(root, output, name):
    picture().quantize(16).convert("RGB").save(root / name, lossless=True)
    report = convert_images(root, output)
    assert str(report).splitlines() == [
        "accepted: 1 images",
        "names that got .png added: 1",
    ]
    assert not (output / name).exists()
    found = pixels(output / f"{name}.png")
    assert np.abs(found - expected_palette()).max() == 0


def test_transparent_parts_become_white(root, output):
    array = np.zeros((2, 2, 4), "uint8")
    array[0, 0] = 10, 20, 30, 255
    array[0, 1] = 10, 20, 30, 0
    array[1, 0] = 0, 0, 0, 128
    Image.fromarray(array).save(root / "a.png")
    convert_images(root, output)
    expected = [
        [[10, 20, 30], [255, 255, 255]],
        [[127, 127, 127], [255, 255, 255]],
    ]
    np.testing.assert_array_equal(pixels(output / "a.png"), expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_transparent_colour_becomes_white(root, output, mode):
    image = Image.new("L", (2, 1))
    image.putpixel((1, 0), 200)
    image = image.convert(mode)
    key = {"RGB": (200, 200, 200), "L": 200, "P": image.getpixel((1, 0))}
    image.save(root / "a.png", transparency=key[mode])
    convert_images(root, output)
    np.testing.assert_array_equal(
        pixels(output / "a.png"), [[[0, 0, 0], [255, 255, 255]]]
    )


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_orientation_is_undone(root, output, orientation):
    array = np.arange(6, dtype="uint8").reshape(2, 3) * 40
    # What a camera stores so that a viewer's turn gives `array`.
    stored = {
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.T,
        6: array.T[::-1],
        7: array[::-1, ::-1].T,
        8: array.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    stored.save(root / "a.png", exif=exif)
    convert_images(root, output)
    found = pixels(output / "a.png")[..., 0]
    np.testing.assert_array_equal(found, array)
    assert refusal(check_image, str(output / "a.png")) is None


def test_16_bit_values_keep_their_range(root, output):
    values = np.array([[0, 128, 129, 257, 65535]], "uint16")
    for name in ("a.png", "b.tif"):
        Image.fromarray(values).save(root / name)
    convert_images(root, output)
    for name in ("a.png", "b.tif.png"):
        found = pixels(output / name)[0, :, 0]
        np.testing.assert_array_equal(found, [0, 0, 1, 1, 255])


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_without_a_range_are_rejected(mode):
    with pytest.raises(UnusableImage, match="unknown range of values"):
        upright_rgb(Image.new(mode, (2, 2)))


def test_a_colour_profile_of_another_mode_is_not_kept(root, output):
    image = picture().convert("CMYK")
    image.save(root / "a.tif", icc_profile=b"a profile of CMYK")
    convert_images(root, output)
    with Image.open(output / "a.tif.png") as image:
        assert "icc_profile" not in image.info


def test_good_images_are_copied_byte_for_byte(root, output):
    (root / "in side").mkdir()
    names = ["a.jpg", "in side/b.JPEG", "c.png", "d.bmp"]
    for name in names:
        picture().save(root / name)
    (root / "notes.txt").write_text("no image")
    report = convert_images(root, output)
    assert report.accepted == 4
    for name in names:
        assert (output / name).read_bytes() == (root / name).read_bytes()
    assert not (output / "notes.txt").exists()


def test_large_images_are_scaled_down(root, output):
    picture().resize((320, 200)).save(root / "large.png")
    picture().resize((20, 64)).save(root / "high.jpg")
    picture().save(root / "small.jpg")
    convert_images(root, output, size=32)
    found = pixels(output / "large.png")
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(found - np.asarray(picture())).mean() < 3
    assert pixels(output / "high.jpg").shape == (32, 10, 3)
    small = (output / "small.jpg").read_bytes()
    assert small == (root / "small.jpg").read_bytes()


def bad_folder(root):
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), "uint8")
    for name in ("half.jpg", "half.gif", "half.png"):
        Image.fromarray(noise).save(root / name)
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: len(data) // 2])
    (root / "empty.jpg").touch()
    (root / "text.jpg").write_text("hello")
    picture().save(root / "drawing.jpg", "PPM")
    picture().save(root / "good.jpg")
    names = ["half.jpg", "half.png", "half.gif", "empty.jpg", "text.jpg"]
    return [*names, "drawing.jpg", "nothing.jpg", "../a.jpg", "good.jpg"]


def test_rejects_by_name_what_cannot_be_converted(root, output):
    names = bad_folder(root)
    report = convert_images(root, output, names, on_error="skip")
    assert report.accepted == 1
    found = {entry: problem for entry, problem, _ in report.entries}
    assert found == {
        "half.jpg": "truncated or damaged image",
        "half.png": "truncated or damaged image",
        "half.gif": "truncated or damaged image",
        "empty.jpg": "empty file",
        "text.jpg": "not an image",
        "drawing.jpg": "unsupported format",
        "nothing.jpg": "missing image",
        "../a.jpg": "path out of the image folder",
    }
    # In the order of the names, whichever thread was first.
    assert [entry for entry, _, _ in report.entries] == names[:-1]
    assert [path.name for path in output.glob("*.*g")] == ["good.jpg"]
    rejected = (output / "rejected.csv").read_text().splitlines()
    assert len(rejected) == 9
    assert rejected[4] == "empty.jpg,empty file,0 bytes"


def test_raises_at_the_first_bad_image(root, output):
    names = bad_folder(root)
    with pytest.raises(ValueError, match=r"^half\.jpg: truncated or damaged"):
        convert_images(root, output, names)


def test_too_large_images_are_never_decoded(root, output, monkeypatch):
    picture().resize((8000, 7000)).convert("L").save(root / "a.png")
    for decoder in (ImageFile.ImageFile, PngImagePlugin.PngImageFile):
        monkeypatch.setattr(decoder, "load", None)
    monkeypatch.setattr(tf.io, "decode_image", None)
    report = convert_images(root, output, on_error="skip")
    problem = ("too large image", "8000x7000 pixels")
    assert report.entries == [("a.png", *problem)]


def test_goes_on_where_it_was(root, output):
    for name in ("a.png", "b.png", "c.png"):
        picture().quantize(16).save(root / name)
    (root / "b.png").write_bytes(b"not yet")
    with pytest.raises(ValueError, match=r"^b\.png: not an image"):
        convert_images(root, output, workers=1)
    made = os.stat(output / "a.png").st_ino
    picture().quantize(16).save(root / "b.png")
    report = convert_images(root, output)
    assert report.accepted == 3
    assert 1 <= report.notes["made by an earlier run"] <= 2
    assert os.stat(output / "a.png").st_ino == made
    for name in ("b.png", "c.png"):
        found = pixels(output / name)
        np.testing.assert_array_equal(found, expected_palette())


def test_a_killed_run_leaves_no_half_file(root, output, monkeypatch):
    picture().quantize(16).save(root / "a.png")
    replace = os.replace

    def kill(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion.os, "replace", kill)
    with pytest.raises(KeyboardInterrupt):
        convert_images(root, output)
    assert not list(output.glob("a.png*"))
    monkeypatch.setattr(conversion.os, "replace", replace)
    # What is left where there was no time to clean up.
    (output / "a.png.unfinished").write_bytes(b"half")
    assert convert_images(root, output).accepted == 1
    assert [path.name for path in output.glob("a.png*")] == ["a.png"]


def test_other_settings_are_refused_before_any_work(root, output):
    picture().save(root / "a.png")
    convert_images(root, output, size=16)
    picture().save(root / "b.png")
    message = (
        r"made with size=16: choose another folder or delete it\. "
        r"Received: size=None$"
    )
    with pytest.raises(ValueError, match=message):
        convert_images(root, output)
    other = root.parent / "other"
    other.mkdir()
    picture().save(other / "b.png")
    with pytest.raises(ValueError, match=r"image_root='\.\./images'"):
        convert_images(other, output, size=16)
    assert not (output / "b.png").exists()


def test_folders_may_move_together(root, output, tmp_path):
    picture().save(root / "a.png")
    convert_images(root, output)
    (tmp_path / "moved").mkdir()
    root = root.rename(tmp_path / "moved" / "images")
    output = output.rename(tmp_path / "moved" / "converted")
    report = convert_images(root, output)
    assert report.notes == {"made by an earlier run": 1}
    settings = json.loads((output / "settings.json").read_text())
    assert settings == {
        "image_root": "../images",
        "made_by": "convert_images",
        "size": None,
    }


@pytest.mark.parametrize("place", ["images", "images/converted"])
def test_originals_are_never_written_to(root, tmp_path, place):
    picture().save(root / "a.png")
    message = "`output_root` must be a folder outside of `image_root`"
    with pytest.raises(ValueError, match=message):
        convert_images(root, tmp_path / place)
    with pytest.raises(ValueError, match="`image_root` must be a folder"):
        convert_images(root / "nothing", tmp_path / "output", ["a.png"])
    assert [path.name for path in root.iterdir()] == ["a.png"]


def test_foreign_folders_are_refused(root, output):
    picture().save(root / "a.png")
    output.mkdir()
    (output / "a.png").write_bytes(b"somebody's")
    with pytest.raises(ValueError, match="must be an empty folder"):
        convert_images(root, output)
    assert (output / "a.png").read_bytes() == b"somebody's"
    with pytest.raises(ValueError, match="must be an empty folder"):
        convert_images(root, output / "a.png")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": 0}, "`size` must be at least 1"),
        ({"size": 2.5}, "`size` must be at least 1, an integer"),
        ({"workers": 0}, "`workers` must be at least 1"),
        ({"on_error": "stop"}, "`on_error` must be one of raise, skip"),
        ({"names": ["a.png", "a.png"]}, "Received: 'a.png' twice"),
        ({"names": ["a.png", "./a.png"]}, "Received: './a.png' twice"),
        ({"names": ["a.gif", "a.gif.png"]}, "Received: 'a.gif.png' twice"),
    ],
)
def test_wrong_arguments(root, output, arguments, message):
    picture().save(root / "a.png")
    with pytest.raises(ValueError, match=message):
        convert_images(root, output, **arguments)
    assert not (output / "a.png").exists()
