"""Images that were repaired, changed, added or deleted are noticed."""

import os

import numpy as np
import pytest
from fixtures_faces import (
    EYES_OF_IMAGES,
    grey,
    middles,
    write_affectnet,
    write_affectnet_sets,
    write_image,
    write_raf,
)

from keras_noisyfer.datasets.conversion import convert_images
from keras_noisyfer.datasets.faces.affectnet import (
    AffectNetConfig,
    load_affectnet,
)
from keras_noisyfer.datasets.faces.alignment import align_faces
from keras_noisyfer.datasets.faces.raf import RafDbConfig, load_raf

LATER = 10**9


def rewrite(path, level):
    """Another image of about the same size, some time later."""
    time = path.stat().st_mtime_ns + 100 * LATER if path.exists() else LATER
    write_image(path, level)
    os.utime(path, ns=(time, time))


@pytest.mark.parametrize("alignment", ["eyes", "given"])
def test_a_repaired_and_a_changed_image(tmp_path, alignment):
    labels = write_raf(tmp_path / "raf", 3, 1)
    kind, end = {"eyes": ("original", ""), "given": ("aligned", "_aligned")}[
        alignment
    ]
    folder = tmp_path / "raf" / "Image" / kind / "imgs"
    options = {"cache_dir": tmp_path / "tfds", "alignment": alignment}
    broken = folder / f"train_00002{end}.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-200])
    with pytest.raises(ValueError, match="damaged"):
        load_raf(tmp_path / "raf", **options)
    data = load_raf(tmp_path / "raf", on_error="skip", **options)
    assert len(data) == 2
    broken.write_bytes(whole)
    rewrite(folder / f"train_00003{end}.jpg", 200)
    data = load_raf(tmp_path / "raf", **options)
    assert sorted(data.names) == sorted(labels)[1:]
    levels = [200 if "3" in name else grey(name) for name in data.names]
    np.testing.assert_allclose(middles(data), levels, atol=3)
    (folder / f"train_00001{end}.jpg").unlink()
    with pytest.raises(ValueError, match="train_00001.*missing image"):
        load_raf(tmp_path / "raf", **options)
    # Now it is damaged: the face made of it earlier must not be used.
    rewrite(folder / f"train_00001{end}.jpg", 9)
    broken.write_bytes(b"")
    data = load_raf(tmp_path / "raf", on_error="skip", **options)
    assert sorted(data.names) == ["train_00001.jpg", "train_00003.jpg"]


@pytest.mark.parametrize("layout", ["raf", "tables", "sets"])
def test_the_name_counts_the_images(tmp_path, layout):
    if layout == "raf":
        write_raf(tmp_path, 2, 1)
        config, folder = RafDbConfig, "Image/original/imgs/deep"
    elif layout == "tables":
        write_affectnet(tmp_path, 2, 2)
        config, folder = AffectNetConfig, "Manually_Annotated_Images/7"
    else:
        write_affectnet_sets(tmp_path, 2, 2)
        config, folder = AffectNetConfig, "val_set/images"

    def name():
        made = config(manual_dir=tmp_path)
        names.append(made.name)
        aligned.add(made.faces_folder)

    names, aligned = [], set()
    path = tmp_path / folder / "new9.jpg"
    name()
    rewrite(path, 9)
    name()
    rewrite(path, 9)
    name()
    path.write_bytes(path.read_bytes() + b" ")
    name()
    assert len(set(names)) == 4 and len(aligned) == 1
    path.unlink()
    name()
    assert names[-1] == names[0] and len(aligned) == 1
    # A link to nowhere is no image, and no reason to fail.
    path.symlink_to("nowhere")
    name()


def make_faces(root, output, names):
    eyes = [EYES_OF_IMAGES] * len(names)
    return align_faces(root, output, names, eyes, on_error="skip")


def convert(root, output, names):
    return convert_images(root, output, names, on_error="skip")


@pytest.mark.parametrize("make", [make_faces, convert])
def test_outputs_follow_their_images(tmp_path, make):
    root, output = tmp_path / "images", tmp_path / "output"
    names = [f"{i}.png" for i in range(4)]
    for name in names:
        write_image(root / name, 50)
    make(root, output, names)
    before = {name: (output / name).read_bytes() for name in names}
    rewrite(root / "0.png", 90)
    (root / "1.png").unlink()
    rewrite(root / "2.png", 90)
    with open(root / "2.png", "r+b") as file:
        file.truncate(60)
    os.utime(root / "2.png", ns=(2 * 10**18, 2 * 10**18))
    # Such a name leads out of the images, and into the output.
    report = make(root, output, [*names, "../output/3.png"])
    assert sorted(report.counts) == [
        "missing image",
        "path out of the image folder",
        "truncated or damaged image",
    ]
    assert report.notes == {"made by an earlier run": 1}
    assert (output / "0.png").read_bytes() != before["0.png"]
    assert (output / "3.png").read_bytes() == before["3.png"]
    found = {path.name for path in output.glob("*.png")}
    assert found == {"0.png", "3.png"}


def test_repackaged_images_as_they_are_need_no_landmarks(tmp_path):
    write_affectnet_sets(tmp_path, 3, 2)
    for path in tmp_path.rglob("*_lnd.npy"):
        path.unlink()
    options = {"cache_dir": tmp_path / "tfds"}
    assert len(load_affectnet(tmp_path, alignment="given", **options)) == 3
    with pytest.raises(
        ValueError, match="0.jpg: malformed eye positions .*0_lnd.npy"
    ):
        load_affectnet(tmp_path, **options)
