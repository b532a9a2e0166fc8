import functools
import os

import numpy as np
import pytest
import tensorflow_datasets as tfds
from fixtures_faces import (
    assert_images_belong_to_names,
    class_ids,
    grey,
    raf_machine,
    write_image,
    write_lines,
    write_raf,
    write_raf_machine,
)

from keras_noisyfer.datasets.faces import manual_config
from keras_noisyfer.datasets.faces.raf import (
    RafDb,
    RafDbConfig,
    load_raf,
)
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.synthetic_faces import EXPRESSIONS

load_raf_base = functools.partial(load_raf, base=True)


@pytest.fixture
def raf(tmp_path):
    """The folder `rafd` that holds `basic`."""
    write_raf(tmp_path / "rafd" / "basic")
    return tmp_path / "rafd"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.mark.parametrize("alignment", ["eyes", "given"])
def test_images_and_labels_belong_together(raf, cache, alignment):
    labels = write_raf(raf / "basic")
    for split, count in (("train", 8), ("test", 4)):
        data = load_raf(raf, split, alignment=alignment, cache_dir=cache)
        expected = [name for name in labels if name.startswith(split)]
        assert sorted(data.names) == sorted(expected)
        assert len(data) == count == data.report.accepted
        assert data.tasks[0].class_names == EXPRESSIONS
        given = data.labels["expression"][:, 0]
        assert data.annotators == {"expression": ["people"]}
        assert given.tolist() == class_ids(data.names, labels)
        assert data.clean["expression"].tolist() == given.tolist()
        assert_images_belong_to_names(data)


def test_base_has_the_machine_labels_of_each_name(raf, cache):
    labels = write_raf(raf / "basic")
    wrong, affect = raf_machine(labels)
    train = load_raf_base(raf, cache_dir=cache)
    names = train.names
    given = train.labels["expression"][:, 0]
    assert given.tolist() == class_ids(names, wrong)
    machine = ["AffectnetModel"]
    assert train.annotators == {"expression": machine, "affect": machine}
    np.testing.assert_array_equal(
        train.labels["affect"][:, 0],
        np.clip([affect[n] for n in names], -1, 1).astype("float32"),
    )
    assert train.clean["expression"].tolist() == class_ids(names, labels)
    assert set(train.clean) == {"expression"}
    assert_images_belong_to_names(train)

    test = load_raf_base(raf, "test", cache_dir=cache)
    given = test.labels["expression"][:, 0].tolist()
    assert given == class_ids(test.names, labels)
    assert np.isnan(test.labels["affect"]).all()
    # Arousal is 1.25 of the first image, -1.25 and -1.5 of the last two.
    assert list(test.report.notes.values()) == [3]


def test_base_trains_a_batch(raf, cache):
    data = load_raf_base(raf, cache_dir=cache, image_size=32)
    dataset = data.batches((32, 32, 3), 4, training=True)
    images, labels = next(iter(dataset))
    assert images.shape == (4, 32, 32, 3)
    assert labels["affect"].shape == (4, 1, 2)


@pytest.mark.parametrize("place", ["", "basic", "basic/EmoLabel", "other"])
def test_machine_labels_are_found(tmp_path, cache, place):
    labels = write_raf(tmp_path / "rafd" / "basic", machine=False)
    write_raf_machine(tmp_path / "rafd" / place, labels)
    folder = tmp_path / "rafd" / "other" if place == "other" else None
    config = RafDbConfig(
        manual_dir=tmp_path / "rafd", base=True, machine_labels_dir=folder
    )
    wanted = tmp_path / "rafd" / place / "list_label_AffectnetModel.txt"
    assert config.machine_files[0] == str(wanted)


@pytest.mark.parametrize("images", ["", "imgs", "imgs/more"])
@pytest.mark.parametrize("top", ["rafd/basic", "rafd"])
@pytest.mark.parametrize("alignment", ["eyes", "given"])
def test_layouts(tmp_path, images, top, alignment):
    write_raf(tmp_path / "rafd" / "basic", 2, 1, images)
    config = RafDbConfig(manual_dir=tmp_path / top, alignment=alignment)
    split = config.read(ImportReport())["train"]
    kind = {"eyes": "original", "given": "aligned"}[alignment]
    folder = tmp_path / "rafd" / "basic" / "Image" / kind / images
    assert config.image_roots["train"] == str(folder)
    assert [(folder / path).is_file() for path in split.path] == [True] * 2


def test_bom_and_crlf(tmp_path, cache):
    labels = write_raf(tmp_path, 3, 2, newline="\r\n", bom=True)
    data = load_raf_base(tmp_path, cache_dir=cache)
    wrong, _ = raf_machine(labels)
    given = data.labels["expression"][:, 0].tolist()
    assert given == class_ids(data.names, wrong)


# === Preparation ===


def test_a_second_call_reads_what_was_prepared(raf, cache):
    first = load_raf(raf, cache_dir=cache)

    def times():
        files = (cache / "faces").rglob("*.jpg")
        return {path: path.stat().st_ino for path in files}

    before = times()
    assert len(before) == len(first)
    again = load_raf(raf, cache_dir=cache)
    assert again.names == first.names
    assert times() == before
    assert_images_belong_to_names(again)
    assert_images_belong_to_names(again.take(3))


def test_other_labels_are_never_given_the_old_preparation(raf, cache):
    before = load_raf_base(raf, cache_dir=cache)
    path = raf / "basic" / "noisy_labels" / "list_label_AffectnetModel.txt"
    lines = [line.split()[0] + " 7" for line in path.read_text().splitlines()]
    write_lines(path, lines)
    after = load_raf_base(raf, cache_dir=cache)
    assert set(before.labels["expression"].ravel()) != {0}
    assert set(after.labels["expression"].ravel()) == {0}
    # Human labels have not changed: the faces were aligned once.
    assert len(list((cache / "faces").iterdir())) == 1

    path = raf / "basic" / "EmoLabel" / "list_patition_label.txt"
    path.write_text(path.read_text().replace("train_00001.jpg 1", ""))
    (raf / "basic" / "Image" / "original" / "imgs" / "train_00001.jpg").unlink()
    assert len(load_raf_base(raf, cache_dir=cache)) == 7


def test_another_folder_is_another_data_set(tmp_path, cache):
    for name, train in (("one", 3), ("two", 3)):
        write_raf(tmp_path / name, train, 1)
    names = {
        RafDbConfig(manual_dir=tmp_path / name).name for name in ("one", "two")
    }
    assert len(names) == 2
    assert all(name.startswith("raf-eyes-64-") for name in names)
    # One folder by two paths.
    (tmp_path / "link").symlink_to(tmp_path / "one")
    link = RafDbConfig(manual_dir=f"{tmp_path}/two/../link")
    assert link.name in names


def test_moved_eyes_are_another_data_set(raf):
    def names(**arguments):
        config = RafDbConfig(manual_dir=raf, **arguments)
        return config.name, config.faces_folder

    eyes, given = names(), names(alignment="given")
    base = names(base=True)
    assert base[0].startswith("raf-base-eyes-64-") and base[1] == eyes[1]
    path = raf / "basic/Annotation/manual/train_00001_manu_attri.txt"
    path.write_text(path.read_text().replace("20.000", "21.0000"))
    assert names()[0] != eyes[0] and names()[1] != eyes[1]
    assert names(alignment="given") == given


def test_a_stopped_preparation_goes_on(raf, cache, monkeypatch):
    align = manual_config.align_face
    left = iter(range(5))

    def five_faces(*face):
        return align(*face) if next(left, None) is not None else 1 / 0

    monkeypatch.setattr(manual_config, "align_face", five_faces)
    with pytest.raises(ZeroDivisionError):
        load_raf(raf, cache_dir=cache)
    monkeypatch.setattr(manual_config, "align_face", align)
    faces = sorted((cache / "faces").rglob("train_*.jpg"))
    assert len(faces) == 5
    times = [face.stat().st_ino for face in faces]
    assert len(load_raf(raf, cache_dir=cache)) == 8
    assert [face.stat().st_ino for face in faces] == times


def test_prepared_faces_may_lie_where_nobody_can_write(raf, cache, monkeypatch):
    load_raf(raf, cache_dir=cache)
    (rejected,) = cache.rglob("rejected.csv")
    rejected.unlink()
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    data = load_raf(raf, cache_dir=cache)
    assert_images_belong_to_names(data)
    assert not list(cache.rglob("rejected.csv"))


def test_images_are_read_by_their_names(raf, cache):
    data = load_raf(raf, cache_dir=cache)
    picked = data.select([1, 4, 6])
    assert picked.names == [data.names[i] for i in (1, 4, 6)]
    assert_images_belong_to_names(picked)
    assert_images_belong_to_names(data.split([3, 5], seed=1)[0])


# === TFDS ===


def prepared(raf, cache, split, shards=1, **arguments):
    """The examples of a data set that `tfds.load` prepares and reads."""
    config = RafDbConfig(manual_dir=raf, **arguments)
    options = tfds.download.DownloadConfig(num_shards=shards)
    return config, [
        {**row, "file_name": row["file_name"].decode()}
        for row in tfds.as_numpy(
            tfds.load(
                "raf_db",
                split=split,
                data_dir=cache,
                builder_kwargs={"config": config},
                download_and_prepare_kwargs={"download_config": options},
            )
        )
    ]


def test_tfds_has_what_the_loader_has(raf, cache):
    labels = write_raf(raf / "basic", 14)
    config, rows = prepared(raf, cache, "train", shards=4, base=True)
    builder = RafDb(config=config, data_dir=cache)
    assert builder.info.splits["train"].num_shards == 4
    data = load_raf_base(raf, cache_dir=cache)
    names = [row["file_name"] for row in rows]
    assert sorted(names) == sorted(data.names)
    for row in rows:
        index = data.names.index(row["file_name"])
        for task in ("expression", "affect"):
            np.testing.assert_array_equal(
                row[f"machine_{task}"], data.labels[task][index, 0]
            )
        assert row["expression"] == data.clean["expression"][index]
        # JPEG is off by some grey.
        assert abs(row["image"].mean() - grey(row["file_name"])) < 3
    given = [int(row["expression"]) for row in rows]
    assert given == class_ids(names, labels)


def test_tfds_never_gives_what_has_changed(raf, cache):
    _, before = prepared(raf, cache, "test")
    path = raf / "basic" / "EmoLabel" / "list_patition_label.txt"
    path.write_text(
        path.read_text().replace("test_0001.jpg 2", "test_0001.jpg 7")
    )
    name = raf / "basic/Image/original/imgs/test_0002.jpg"
    write_image(name, 250)
    os.utime(name, ns=(2 * 10**18, 2 * 10**18))
    _, after = prepared(raf, cache, "test")
    before, after = (
        {row["file_name"]: row for row in rows} for rows in (before, after)
    )
    assert before["test_0001.jpg"]["expression"] != 0
    assert after["test_0001.jpg"]["expression"] == 0
    assert before["test_0002.jpg"]["image"].mean() < 200
    assert after["test_0002.jpg"]["image"].mean() > 240


def test_tfds_without_alignment(raf, cache):
    (raf / "basic/Image/aligned/imgs/test_0003_aligned.jpg").unlink()
    config, rows = prepared(
        raf, cache, "test", image_size=16, alignment="given", on_error="skip"
    )
    assert len(rows) == 3
    assert rows[0]["image"].shape == (16, 16, 3)
    assert all(np.isnan(row["machine_affect"]).all() for row in rows)
    assert {row["machine_expression"] for row in rows} == {-1}
    rejected = RafDb(config=config, data_dir=cache).info.metadata["rejected"]
    assert [each[:2] for each in rejected] == [
        ["test_0003.jpg", "missing image"]
    ]


def test_builder_needs_a_configuration():
    with pytest.raises(ValueError, match="`config` of RafDb.*whdeng.cn/RAF"):
        RafDb()
