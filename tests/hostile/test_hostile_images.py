"""Images that others made, and names that lead out of their folder."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from attacks import refused
from fixtures_faces import refusal, write_affectnet, write_raf
from PIL import Image

from keras_noisyfer.datasets.conversion import convert_images
from keras_noisyfer.datasets.faces.affectnet import load_affectnet
from keras_noisyfer.datasets.faces.alignment import align_faces
from keras_noisyfer.datasets.faces.label_files import raf_eyes
from keras_noisyfer.datasets.faces.raf import load_raf
from keras_noisyfer.datasets.ferplus import load_ferplus
from keras_noisyfer.datasets.image_files import (
    MAX_SCANS,
    UnusableImage,
    check_image,
    check_image_files,
    locate_image,
    read_rgb,
)
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.table import from_csv
from keras_noisyfer.tasks import CategoricalTask

SHADE = CategoricalTask("shade", class_names=("dark", "light"))


def chunk(kind, data):
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png(width, height, *chunks, depth=8, colours=2):
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *chunks, chunk(b"IEND", b"")]
    )


def jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


ROW = zlib.compress(bytes(4))
BOMB = zlib.compress(bytes(2**28))


def huge_jpeg():
    content = bytearray(jpeg(Image.new("L", (8, 8))))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 65_000, 65_000)
    return bytes(content)


def scans(count):
    """A progressive JPEG file with its last scan again and again."""
    content = jpeg(Image.new("L", (64, 64)), progressive=True)
    at = content.rindex(b"\xff\xda")
    return content[:at] + content[at:-2] * count + b"\xff\xd9"


FILES = {
    "side.png": (png(60_000, 60_000, chunk(b"IDAT", ROW)), "too large image"),
    "long.png": (png(1, 2_000_000, chunk(b"IDAT", ROW)), "too large image"),
    "most.png": (
        png(2**31 - 1, 2**31 - 1, chunk(b"IDAT", ROW)),
        "too large image",
    ),
    "large.png": (png(9000, 9000, chunk(b"IDAT", ROW)), "too large image"),
    "text.png": (
        png(1, 1, chunk(b"zTXt", b"a\0\0" + BOMB), chunk(b"IDAT", ROW)),
        "truncated or damaged image",
    ),
    "side.jpg": (huge_jpeg(), "too large image"),
    "scans.jpg": (scans(MAX_SCANS), "too many scans"),
    "size.bmp": (
        b"BM"
        + struct.pack("<IHHI", 2**31, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 60_000, 60_000, 1, 24, *[0] * 6)
        + bytes(100),
        "too large image",
    ),
    "size.gif": (
        # With a frame: some releases of Pillow know no GIF file without one.
        b"GIF89a"
        + struct.pack("<HHxxx", 60_000, 60_000)
        + struct.pack("<s4Hx", b",", 0, 0, 60_000, 60_000)
        + b"\2\2\x44\1\0;",
        "too large image",
    ),
    # Programs and pages under the name of an image.
    "page.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "print.jpg": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
        "unsupported format",
    ),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.timeout(20)
def test_hostile_images(name, tmp_path, capfd):
    content, expected = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    problem, detail = refusal(check_image, str(path))
    assert problem == expected and detail.isprintable()
    report = ImportReport("skip")
    assert not check_image_files(tmp_path, [name], report).any()
    with pytest.raises(UnusableImage):
        read_rgb(str(path), convert=True)
    # No message of a decoder goes past the report.
    assert "Traceback" not in capfd.readouterr().err


def test_a_large_text_does_not_take_memory(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(FILES["text.png"][0])
    with refused("truncated or damaged image"):
        check_image_files(tmp_path, ["a.png"], ImportReport("raise"))


def test_usual_scans_are_no_attack(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(scans(5))
    assert refusal(check_image, str(path)) is None


# === Names ===

OUT = ["../out.png", "a/../../out.png", "../images/a.png", "..", ".", "a/.."]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    (folder / "a").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "out.png")
    (folder / "link.png").symlink_to(tmp_path / "out.png")
    (folder / "up").symlink_to(tmp_path)
    return folder


@pytest.mark.parametrize("name", [*OUT, "link.png", "up/out.png"])
def test_names_that_lead_out(name, images, tmp_path):
    problem, _ = refusal(locate_image, images, name)
    assert "out of the image folder" in problem
    with refused("out of the image folder"):
        convert_images(images, tmp_path / "copies", [name])
    eyes = np.full((1, 2, 2), 2.0)
    with refused("out of the image folder"):
        align_faces(images, tmp_path / "faces", [name], eyes)
    table = tmp_path / "labels.csv"
    table.write_text(f"image,shade\n{name},dark\n")
    columns = {"image": "image", "shade": "shade"}
    with refused("out of the image folder|no image|no such file"):
        from_csv(table, images, [SHADE], columns)


def test_absolute_names(images, tmp_path):
    for path in (images / "a.png", tmp_path / "out.png"):
        assert refusal(locate_image, images, str(path)) is not None
        with refused("out of the image folder"):
            convert_images(images, tmp_path / "copies", [str(path)])
    # In a table they may stand, as long as they stay in the folder.
    columns = {"image": "image", "shade": "shade"}
    table = tmp_path / "labels.csv"
    table.write_text(f"image,shade\n{images / 'a.png'},dark\n")
    assert from_csv(table, images, [SHADE], columns).names == ["a.png"]
    table.write_text(f"image,shade\n{tmp_path / 'out.png'},dark\n")
    with refused("out of the image folder"):
        from_csv(table, images, [SHADE], columns)


def test_no_image_is_overwritten_by_its_copy(tmp_path):
    """A name that leaves the folder and comes back means another file in the
    folder of the copies: here, the image itself."""
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGBA", (4, 4)).save(images / "a.png")
    before = (images / "a.png").read_bytes()
    with refused("path out of the image folder"):
        convert_images(images, tmp_path / "copies", ["../images/a.png"])
    assert (images / "a.png").read_bytes() == before
    with refused("path out of the image folder"):
        align_faces(
            images,
            tmp_path / "faces",
            ["../images/a.png"],
            np.array([[[0, 1], [3, 1]]]),
        )
    assert (images / "a.png").read_bytes() == before


def test_names_in_ferplus(tmp_path):
    folder = tmp_path / "FER2013Train"
    folder.mkdir()
    Image.new("L", (48, 48)).save(tmp_path / "out.png")
    (folder / "link.png").symlink_to(tmp_path / "out.png")
    for name in ("../out.png", tmp_path / "out.png", "link.png"):
        (folder / "label.csv").write_text(
            f'{name},"(0, 0, 48, 48)",9,0,0,0,0,0,0,0,0,0\n'
        )
        with refused("out of the image folder"):
            load_ferplus(tmp_path)


def test_names_in_raf(tmp_path):
    write_raf(tmp_path / "raf", 2, 1)
    folder = tmp_path / "raf" / "Image" / "original" / "imgs"
    Image.new("RGB", (60, 60)).save(tmp_path / "out.jpg")
    (folder / "train_00001.jpg").unlink()
    (folder / "train_00001.jpg").symlink_to(tmp_path / "out.jpg")
    with refused("symbolic link out of the image folder"):
        load_raf(tmp_path / "raf", cache_dir=tmp_path / "cache")
    path = tmp_path / "raf" / "EmoLabel" / "list_patition_label.txt"
    name = os.path.relpath(tmp_path / "out.jpg", folder)
    path.write_text(
        path.read_text().replace("train_00001.jpg", f"train_/../{name}")
    )
    with refused("out of the image folder|image without label"):
        load_raf(tmp_path / "raf", cache_dir=tmp_path / "cache")


def test_links_of_eye_positions(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("user:password\n")
    folder = tmp_path / "manual"
    folder.mkdir()
    (folder / "train_1_manu_attri.txt").symlink_to(secret)
    with refused("symbolic link out of") as error:
        raf_eyes(folder, "train_1.jpg")
    del error
    (folder / "train_1_manu_attri.txt").unlink()
    (folder / "train_1_manu_attri.txt").write_text("1 2\n" + "3 " * 2**20)
    with refused("must begin with two lines of x and y"):
        raf_eyes(folder, "train_1.jpg")


@pytest.mark.parametrize("name", ["../../out.jpg", "..\\..\\out.jpg"])
def test_names_in_affectnet(name, tmp_path):
    root = tmp_path / "affectnet"
    write_affectnet(root, 2, 1)
    Image.new("RGB", (60, 60)).save(tmp_path / "out.jpg")
    path = root / "training.csv"
    path.write_text(path.read_text().replace("100/face0x.jpg", name))
    (root / "Manually_Annotated_Images" / "100" / "face0x.jpg").unlink()
    with refused("out of the image folder"):
        load_affectnet(root, cache_dir=tmp_path / "cache")


def test_names_that_are_no_text(tmp_path):
    """What a file system holds need not be UTF-8."""
    images = tmp_path / "images"
    images.mkdir()
    with open(os.path.join(os.fsencode(images), b"\xff.png"), "wb") as file:
        file.write(b"no image")
    report = convert_images(images, tmp_path / "copies", on_error="skip")
    assert report.counts == {"not an image": 1}
    assert str(report).isascii()
    written = (tmp_path / "copies" / "rejected.csv").read_text("utf-8")
    assert "\\udcff.png" in written
