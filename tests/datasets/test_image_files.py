import os
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from fixtures_faces import refusal
from PIL import Image

from keras_noisyfer.datasets import image_files
from keras_noisyfer.datasets.image_files import (
    check_image,
    check_image_files,
    list_images,
    locate_image,
)
from keras_noisyfer.datasets.image_sources import decode_image
from keras_noisyfer.datasets.report import ImportReport

HEIGHT, WIDTH = 40, 64


def picture(height=HEIGHT, width=WIDTH):
    """Smooth colours, which JPEG keeps to a few grey levels."""
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / width, 255 * y / height
    array = np.stack([red, green, 255 - red], axis=-1).astype("uint8")
    return Image.fromarray(array)


def png(width, height, bits, colour, pixels):
    """The bytes of a PNG file, true to its header or not."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(pixels)),
        (b"IEND", b""),
    ):
        check = struct.pack(">I", zlib.crc32(kind + body))
        data += struct.pack(">I", len(body)) + kind + body + check
    return data


def png_of_claimed_size(width, height):
    return png(width, height, 1, 0, bytes(100))


def cut(path, part):
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), "uint8")
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])


def rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save(path, exif=exif)


# File name: (what writes it, problem, part of the detail).
BAD_FILES = {
    "half.jpg": (
        lambda path: cut(path, 0.5),
        "truncated or damaged image",
        "",
    ),
    "nearly.jpg": (
        lambda path: cut(path, 0.95),
        "truncated or damaged image",
        "",
    ),
    "half.png": (
        lambda path: cut(path, 0.5),
        "truncated or damaged image",
        "",
    ),
    "half.bmp": (
        lambda path: cut(path, 0.5),
        "truncated or damaged image",
        "",
    ),
    "stub.jpg": (
        lambda path: cut(path, 0.05),
        "not an image",
        "damaged format",
    ),
    "empty.jpg": (lambda path: path.touch(), "empty file", "0 bytes"),
    "text.jpg": (
        lambda path: path.write_text("image,expression\na.jpg,1\n"),
        "not an image",
        "unknown",
    ),
    "png.jpg": (
        lambda path: picture().save(path, "PNG"),
        "wrong extension",
        "PNG data in a .jpg file",
    ),
    "jpeg.PNG": (
        lambda path: picture().save(path, "JPEG"),
        "wrong extension",
        "JPEG data in a .PNG file",
    ),
    "one_bit.bmp": (
        lambda path: picture().convert("1").save(path),
        "unsupported format",
        "one bit",
    ),
    "gif.gif": (
        lambda path: picture().save(path),
        "unsupported format",
        "GIF",
    ),
    "gif.jpg": (
        lambda path: picture().save(path, "GIF"),
        "unsupported format",
        "GIF",
    ),
    "webp.jpg": (
        lambda path: picture().save(path, "WEBP"),
        "unsupported format",
        "WEBP",
    ),
    "cmyk.jpg": (
        lambda path: picture().convert("CMYK").save(path),
        "CMYK colours",
        "CMYK",
    ),
    "grey16.png": (
        lambda path: Image.fromarray(
            np.arange(600, dtype="uint16").reshape(20, 30)
        ).save(path),
        "16-bit values",
        "mode I",
    ),
    "colour16.png": (
        lambda path: path.write_bytes(png(2, 2, 16, 2, bytes(26))),
        "16-bit values",
        "mode RGB",
    ),
    "palette.png": (
        lambda path: picture().quantize(16).save(path),
        "palette colours",
        "mode P",
    ),
    "alpha.png": (
        lambda path: picture().convert("RGBA").save(path),
        "alpha channel",
        "mode RGBA",
    ),
    "grey_alpha.png": (
        lambda path: picture().convert("LA").save(path),
        "alpha channel",
        "mode LA",
    ),
    "see_through.png": (
        lambda path: picture().save(path, transparency=(0, 0, 255)),
        "alpha channel",
        "transparent colour",
    ),
    "rotated.jpg": (rotated, "EXIF rotation", "orientation 6"),
    "huge.png": (
        lambda path: path.write_bytes(png_of_claimed_size(30_000, 30_000)),
        "too large image",
        "900000000 pixels",
    ),
    "large.png": (
        lambda path: path.write_bytes(png_of_claimed_size(8000, 8000)),
        "too large image",
        "8000x8000 pixels",
    ),
}
GOOD_FILES = {
    "colour.jpg": lambda path: picture().save(path, quality=95),
    "progressive.jpeg": lambda path: picture().save(path, progressive=True),
    # What many cameras write: a JPEG file with further images at its end.
    "camera.jpg": lambda path: picture().save(
        path, "MPO", save_all=True, append_images=[picture(8, 8)], quality=95
    ),
    "grey.jpg": lambda path: picture().convert("L").save(path, quality=95),
    "colour.png": lambda path: picture().save(path),
    "grey.png": lambda path: picture().convert("L").save(path),
    "black_and_white.png": lambda path: picture().convert("1").save(path),
    "colour.bmp": lambda path: picture().save(path),
    "grey.bmp": lambda path: picture().convert("L").save(path),
    "UPPER.JPG": lambda path: picture().save(path, quality=95),
    "Upper.Png": lambda path: picture().save(path),
    "folder/in side/smörgås.jpg": lambda path: picture().save(path),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "images"
    for name, write in GOOD_FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write(root / name)
    for name, (write, _, _) in BAD_FILES.items():
        write(root / name)
    outside = root.parent / "outside"
    outside.mkdir()
    picture().save(outside / "secret.jpg")
    os.symlink("colour.jpg", root / "link.jpg")
    os.symlink(outside / "secret.jpg", root / "link_out.jpg")
    os.symlink(outside, root / "folder_out")
    os.symlink(root / "nothing.jpg", root / "broken_link.jpg")
    (root / "folder.jpg").mkdir()
    return root


@pytest.mark.parametrize("name", BAD_FILES)
def test_names_what_is_wrong_with_a_file(folder, name):
    _, expected, part = BAD_FILES[name]
    problem, detail = refusal(check_image, str(folder / name))
    assert problem == expected
    assert part in detail and "\n" not in detail


@pytest.mark.parametrize("name", GOOD_FILES)
def test_finds_nothing_wrong_with_good_files(folder, name):
    assert refusal(check_image, str(folder / name)) is None


def test_a_claimed_size_costs_nothing(folder, monkeypatch):
    monkeypatch.setattr(image_files, "_decode_coarsely", None)
    assert os.path.getsize(folder / "huge.png") < 200
    assert (
        refusal(check_image, str(folder / "huge.png"))[0] == "too large image"
    )
    path = str(folder / "colour.png")
    problem = refusal(check_image, path, max_pixels=HEIGHT * WIDTH - 1)
    assert problem == ("too large image", f"{WIDTH}x{HEIGHT} pixels")
    within = refusal(check_image, path, max_pixels=HEIGHT * WIDTH, decode=False)
    assert within is None


@pytest.mark.filterwarnings("error")
def test_a_large_image_is_named_where_warnings_are_errors(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(png_of_claimed_size(12_000, 10_000))
    problem, detail = refusal(check_image, str(path))
    assert problem == "too large image" and "120000000" in detail


def test_without_decoding_only_the_header_is_seen(folder):
    for name in ("half.jpg", "half.png"):
        assert refusal(check_image, str(folder / name), decode=False) is None
    assert (
        refusal(check_image, str(folder / "cmyk.jpg"), decode=False) is not None
    )


OUT_OF_REACH = {
    "../outside/secret.jpg": "path out of the image folder",
    "folder/../../outside/secret.jpg": "path out of the image folder",
    "..": "path out of the image folder",
    ".": "path out of the image folder",
    "link_out.jpg": "symbolic link out of the image folder",
    "folder_out/secret.jpg": "symbolic link out of the image folder",
    "nothing.jpg": "missing image",
    "broken_link.jpg": "missing image",
    "folder.jpg": "missing image",
    "": "missing image",
    "a\0.jpg": "missing image",
}


@pytest.mark.parametrize("name", OUT_OF_REACH)
def test_images_stay_within_their_folder(folder, name):
    problem, _ = refusal(locate_image, folder, name)
    assert problem == OUT_OF_REACH[name]


def test_absolute_paths_and_neighbours_are_out_of_the_folder(folder):
    # A folder whose name merely begins as the image folder's.
    neighbour = folder.parent / "images2"
    neighbour.mkdir()
    picture().save(neighbour / "a.jpg")
    for name in ("../images2/a.jpg", str(neighbour / "a.jpg")):
        problem, _ = refusal(locate_image, folder, name)
        assert problem == "path out of the image folder"


@pytest.mark.parametrize(
    "name", ["link.jpg", "folder/../colour.jpg", "./colour.jpg"]
)
def test_other_ways_to_an_image_in_the_folder(folder, name):
    path = locate_image(folder, name)
    assert os.path.samefile(path, folder / "colour.jpg")


def test_the_image_folder_itself_may_be_a_link(folder, tmp_path):
    os.symlink(folder, tmp_path / "images")
    path = locate_image(tmp_path / "images", "colour.jpg")
    assert os.path.samefile(path, folder / "colour.jpg")
    problem, _ = refusal(locate_image, tmp_path / "images", "link_out.jpg")
    assert problem == "symbolic link out of the image folder"


def test_checks_a_folder_and_counts(folder):
    expected = {name: BAD_FILES[name][1] for name in BAD_FILES}
    expected |= OUT_OF_REACH
    good = [*GOOD_FILES, "link.jpg"]
    # Good and bad ones take turns: each has to get its own verdict.
    names = sorted(
        [*expected, *good], key=lambda name: zlib.crc32(name.encode())
    )
    report = ImportReport("skip")
    accepted = check_image_files(folder, names, report)
    assert accepted.dtype == bool
    np.testing.assert_array_equal(accepted, np.isin(names, good))
    assert {entry: problem for entry, problem, _ in report.entries} == expected
    assert len(report.entries) == len(expected)


def test_raises_at_the_first_bad_file_by_name(folder):
    report = ImportReport()
    with pytest.raises(ValueError, match=r"^half\.jpg: truncated or damaged"):
        check_image_files(folder, ["colour.jpg", "half.jpg"], report)
    with pytest.raises(ValueError, match=r"^empty\.jpg: empty file \(0 bytes"):
        check_image_files(folder, ["empty.jpg"], report)
    good = check_image_files(folder, ["half.jpg"], report, decode=False)
    assert good.all()
    assert check_image_files(folder, [], report).shape == (0,)


def test_needs_an_image_folder(folder):
    for root in (folder / "nothing", folder / "colour.jpg"):
        with pytest.raises(ValueError, match="`image_root` must be a folder"):
            check_image_files(root, ["a.jpg"], ImportReport())


def test_lists_images_by_extension(folder):
    names = list_images(folder)
    assert names == sorted(names) and len(set(names)) == len(names)
    assert set(GOOD_FILES) <= set(names)
    # Whatever claims to be an image is listed, so that it is checked.
    assert {"empty.jpg", "jpeg.PNG", "link_out.jpg"} <= set(names)
    assert not {"gif.gif", "folder.jpg"} & set(names)
    assert "folder_out/secret.jpg" not in names


@pytest.mark.parametrize("name", [*GOOD_FILES, "link.jpg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_decodes_what_pillow_shows(folder, name, channels):
    image = decode_image(
        tf.io.read_file(str(folder / name)), (HEIGHT, WIDTH, channels)
    )
    assert image.dtype == tf.uint8
    with Image.open(folder / name) as expected:
        expected = np.asarray(expected.convert("L" if channels == 1 else "RGB"))
    difference = np.abs(
        image.numpy().astype(int)
        - expected.reshape(HEIGHT, WIDTH, channels).astype(int)
    )
    assert difference.max() <= (channels == 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize("side", [33, 64, 130, 300, 700])
def test_scales_to_the_size_asked_for(tmp_path, kind, side):
    path = tmp_path / "image"
    picture(side, side + 20).save(path, kind)
    encoded = tf.constant(path.read_bytes())
    image = decode_image(encoded, (64, 64, 3)).numpy()
    assert image.shape == (64, 64, 3)
    expected = np.asarray(picture(64, 64)).astype(int)
    assert np.abs(image - expected).max() <= 12
    assert np.abs(image - expected).mean() < 4


def test_shrinking_does_not_alias():
    # Columns black and white by turns are grey from afar.
    stripes = np.zeros((96, 96, 3), "uint8")
    stripes[:, ::2] = 255
    encoded = tf.io.encode_png(stripes)
    image = decode_image(encoded, (24, 24, 3)).numpy()
    assert np.abs(image[4:-4, 4:-4].astype(int) - 127.5).max() < 10


def test_shape_is_known_in_a_dataset(folder):
    paths = [str(folder / "colour.jpg"), str(folder / "grey.png")]
    dataset = tf.data.Dataset.from_tensor_slices(paths)
    dataset = dataset.map(
        lambda path: decode_image(tf.io.read_file(path), (16, 20, 3))
    ).batch(2)
    assert dataset.element_spec.shape == (None, 16, 20, 3)
    (images,) = dataset
    assert images.shape == (2, 16, 20, 3)
    grey = images[1].numpy()
    assert (grey == grey[..., :1]).all()
