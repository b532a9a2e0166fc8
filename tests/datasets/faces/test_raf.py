import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from fixtures_faces import (
    assert_images_belong_to_names,
    class_ids,
    raf_machine,
    write_lines,
    write_raf,
    write_raf_machine,
)

from keras_noisyfer.datasets.faces import manual_builder
from keras_noisyfer.datasets.faces.raf import (
    RafDb,
    RafDbConfig,
    load_raf,
    load_raf_base,
)
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.synthetic_faces import EXPRESSIONS


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
        given = data.labels["expression"]
        assert given.tolist() == class_ids(data.names, labels)
        assert data.clean["expression"].tolist() == given.tolist()
        assert_images_belong_to_names(data)


def test_base_has_the_machine_labels_of_each_name(raf, cache):
    labels = write_raf(raf / "basic")
    wrong, affect = raf_machine(labels)
    train = load_raf_base(raf, cache_dir=cache)
    names = train.names
    assert train.labels["expression"].tolist() == class_ids(names, wrong)
    np.testing.assert_array_equal(
        train.labels["affect"],
        np.clip([affect[n] for n in names], -1, 1).astype("float32"),
    )
    assert train.clean["expression"].tolist() == class_ids(names, labels)
    assert set(train.clean) == {"expression"}
    assert_images_belong_to_names(train)

    test = load_raf_base(raf, "test", cache_dir=cache)
    given = test.labels["expression"].tolist()
    assert given == class_ids(test.names, labels)
    assert np.isnan(test.labels["affect"]).all()
    # Arousal is 1.25 of the first image, -1.25 and -1.5 of the last two.
    assert list(test.report.notes.values()) == [3]


def test_base_trains_a_batch(raf, cache):
    data = load_raf_base(raf, cache_dir=cache, image_size=32)
    dataset = data.batches((32, 32, 3), 4, training=True)
    images, labels = next(iter(dataset))
    assert images.shape == (4, 32, 32, 3)
    assert labels["affect"].shape == (4, 2)


@pytest.mark.parametrize("place", ["", "basic", "basic/EmoLabel", "other"])
def test_machine_labels_are_found(tmp_path, cache, place):
    labels = write_raf(tmp_path / "rafd" / "basic", machine=False)
    write_raf_machine(tmp_path / "rafd" / place, labels)
    folder = tmp_path / "rafd" / "other" if place == "other" else None
    config = RafDbConfig(
        manual_dir=tmp_path / "rafd", base=True, machine_labels_dir=folder
    )
    wanted = tmp_path / "rafd" / place / "list_label_AffectnetModel.txt"
    assert config.machine_lists[0] == str(wanted)


@pytest.mark.parametrize("images", ["", "imgs", "imgs/more"])
@pytest.mark.parametrize("top", ["rafd/basic", "rafd"])
@pytest.mark.parametrize("alignment", ["eyes", "given"])
def test_layouts(tmp_path, images, top, alignment):
    write_raf(tmp_path / "rafd" / "basic", 2, 1, images)
    config = RafDbConfig(manual_dir=tmp_path / top, alignment=alignment)
    split = config.read(ImportReport())["train"]
    kind = {"eyes": "original", "given": "aligned"}[alignment]
    folder = tmp_path / "rafd" / "basic" / "Image" / kind / images
    assert split.image_root == str(folder)
    assert [(folder / path).is_file() for path in split.faces.path] == [
        True
    ] * 2


def test_bom_and_crlf(tmp_path, cache):
    labels = write_raf(tmp_path, 3, 2, newline="\r\n", bom=True)
    data = load_raf_base(tmp_path, cache_dir=cache)
    wrong, _ = raf_machine(labels)
    assert data.labels["expression"].tolist() == class_ids(data.names, wrong)


# === Preparation ===


def test_a_second_call_reads_what_was_prepared(raf, cache):
    first = load_raf(raf, cache_dir=cache)

    def times():
        files = (cache / "raf_db").rglob("*")
        return {path: path.stat().st_ino for path in files}

    before = times()
    again = load_raf(raf, cache_dir=cache)
    assert again.names == first.names
    assert times() == before
    assert_images_belong_to_names(again)
    assert_images_belong_to_names(again.take(3))


def test_the_order_holds_over_several_files(raf, cache):
    labels = write_raf(raf / "basic", 14)
    builder = RafDb(config=RafDbConfig(manual_dir=raf), data_dir=cache)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=4)
    )
    assert builder.info.splits["train"].num_shards == 4
    data = load_raf(raf, cache_dir=cache)
    given = data.labels["expression"].tolist()
    assert given == class_ids(data.names, labels)
    for _ in range(2):
        assert_images_belong_to_names(data)
    # Images that are no longer those that the labels were read with.
    first, second, *_ = sorted(cache.rglob("*train.array_record*")) or sorted(
        cache.rglob("*train.tfrecord*")
    )
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    with pytest.raises(tf.errors.InvalidArgumentError, match="train_000"):
        assert_images_belong_to_names(data)


def test_other_labels_are_never_given_the_old_preparation(raf, cache):
    before = load_raf_base(raf, cache_dir=cache)
    path = raf / "basic" / "noisy_labels" / "list_label_AffectnetModel.txt"
    lines = [line.split()[0] + " 7" for line in path.read_text().splitlines()]
    write_lines(path, lines)
    after = load_raf_base(raf, cache_dir=cache)
    assert set(before.labels["expression"]) != {0}
    assert set(after.labels["expression"]) == {0}
    # Human labels have not changed: the faces were aligned once.
    assert len(list((cache / "aligned").iterdir())) == 1

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
        return config.name, config.aligned_folder

    eyes, given = names(), names(alignment="given")
    base = names(base=True)
    assert base[0].startswith("raf-base-eyes-64-") and base[1] == eyes[1]
    path = raf / "basic/Annotation/manual/train_00001_manu_attri.txt"
    path.write_text(path.read_text().replace("20.000", "21.0000"))
    assert names()[0] != eyes[0] and names()[1] != eyes[1]
    assert names(alignment="given") == given


def test_a_stopped_preparation_goes_on(raf, cache, monkeypatch):
    encode = manual_builder.encode_face
    monkeypatch.setattr(manual_builder, "encode_face", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load_raf(raf, cache_dir=cache)
    monkeypatch.setattr(manual_builder, "encode_face", encode)
    faces = sorted((cache / "aligned").rglob("train_*.jpg"))
    assert len(faces) == 8
    times = [face.stat().st_ino for face in faces]
    assert len(load_raf(raf, cache_dir=cache)) == 8
    assert [face.stat().st_ino for face in faces] == times


def test_builder_without_loader(raf, cache):
    config = RafDbConfig(manual_dir=raf, image_size=16, alignment="given")
    builder = RafDb(config=config, data_dir=cache)
    builder.download_and_prepare()
    rows = list(tfds.as_numpy(builder.as_dataset(split="test")))
    assert rows[0]["image"].shape == (16, 16, 3)
    assert all(np.isnan(row["machine_affect"]).all() for row in rows)
    assert {row["machine_expression"] for row in rows} == {-1}


def test_builder_needs_a_configuration():
    with pytest.raises(ValueError, match="`config` of RafDb.*whdeng.cn/RAF"):
        RafDb()
