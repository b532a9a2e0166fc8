import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_noisyfer import noise
from keras_noisyfer.datasets.cifar10 import CLASS_NAMES, load_cifar10
from keras_noisyfer.tasks import CategoricalTask


def arrays(train=12, test=10):
    generator = np.random.default_rng(0)
    data = {}
    for split, count in (("train", train), ("test", test)):
        data[f"x_{split}"] = generator.integers(
            0, 256, (count, 32, 32, 3), "uint8"
        )
        data[f"y_{split}"] = np.arange(count, dtype="uint8") % 10
    return data


@pytest.fixture
def save(tmp_path):
    def write(**changes):
        path = tmp_path / "cifar10.npz"
        np.savez(path, **{**arrays(), **changes})
        return path

    return write


def assert_is_cifar10(data, split, count):
    expected = arrays()
    images, labels = expected[f"x_{split}"], expected[f"y_{split}"]
    assert data.images.images.dtype == np.uint8
    assert data.clean["object"].dtype == np.int32
    np.testing.assert_array_equal(data.images.images, images[:count])
    np.testing.assert_array_equal(data.clean["object"], labels[:count])


def test_there_are_ten_classes():
    assert len(set(CLASS_NAMES)) == 10


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_reads_a_file_in_the_layout_of_keras(save, shape, dtype):
    labels = {
        name: array.astype(dtype).reshape(shape)
        for name, array in arrays().items()
        if name.startswith("y")
    }
    path = save(**labels)
    assert_is_cifar10(load_cifar10(path, "train"), "train", 12)
    assert_is_cifar10(load_cifar10(path, "test"), "test", 10)


def test_images_are_named_as_in_tfds(save):
    data = load_cifar10(save(), "test")
    assert data.names == [f"test_0000{index}" for index in range(10)]


def test_train_labels_are_those_of_the_papers_annotators(save):
    truth = np.arange(20_000) % 10
    path = save(x_train=np.zeros((20_000, 32, 32, 3), "uint8"), y_train=truth)
    data = load_cifar10(path, "train")
    (task,) = data.tasks
    assert task == CategoricalTask(
        "object", class_names=CLASS_NAMES, annotators=3
    )
    wrong = (data.labels["object"] != truth[:, None]).mean(axis=0)
    # One of the ten classes that replace a label is the label itself.
    np.testing.assert_allclose(wrong, [0.18, 0.27, 0.36], atol=0.01)
    np.testing.assert_array_equal(data.clean["object"], truth)


def test_test_labels_are_true(save):
    data = load_cifar10(save(), "test")
    assert data.tasks[0].annotators == 3
    np.testing.assert_array_equal(data.labels["object"], np.arange(10))


def test_without_annotators_all_labels_are_true(save):
    path = save()
    for split, count in (("train", 12), ("test", 10)):
        data = load_cifar10(path, split, annotators=None)
        assert data.tasks[0].annotators == 1
        np.testing.assert_array_equal(
            data.labels["object"], np.arange(count) % 10
        )


def test_annotators_may_be_others(save):
    path, always = save(), noise.CategoricalAnnotator(1.0)
    train = load_cifar10(path, "train", annotators=[always, always])
    assert train.tasks[0].annotators == 2
    assert (train.labels["object"] != train.clean["object"][:, None]).all()
    test = load_cifar10(path, "test", annotators=[always, always])
    assert test.tasks == train.tasks
    with pytest.raises(ValueError, match="`annotators of task.*Received: 0"):
        load_cifar10(path, "train", annotators=[])


def test_takes_the_first_images_with_the_same_labels(save):
    path = save()
    whole = load_cifar10(path, "train")
    for size in (5, 12):
        part = load_cifar10(path, "train", size=size)
        assert_is_cifar10(part, "train", size)
        np.testing.assert_array_equal(
            part.labels["object"], whole.labels["object"][:size]
        )
    assert_is_cifar10(load_cifar10(path, "test", size=3), "test", 3)


def test_seed_decides_the_labels(save):
    path = save()

    def labels(seed):
        data = load_cifar10(path, "train", seed=seed)
        return data.labels["object"].tolist()

    assert labels(1) == labels(1)
    assert labels(1) != labels(2)
    with pytest.raises(ValueError, match="`seed` must be at least 0"):
        labels(-1)


def test_tfds_images_are_put_in_the_original_order(monkeypatch):
    def load(name, split, batch_size):
        assert (name, batch_size) == ("cifar10", -1)
        images, labels = arrays()[f"x_{split}"], arrays()[f"y_{split}"]
        order = np.random.default_rng(3).permutation(len(images))
        return {
            "id": tf.constant([f"{split}_{index:05d}" for index in order]),
            "image": tf.constant(images[order]),
            "label": tf.constant(labels[order], "int64"),
        }

    monkeypatch.setattr(tfds, "load", load)
    assert_is_cifar10(load_cifar10(split="train", size=7), "train", 7)
    assert_is_cifar10(load_cifar10(split="test"), "test", 10)


@pytest.mark.parametrize("kind", [ConnectionError, ImportError])
def test_a_failed_download_says_what_else_there_is(monkeypatch, kind):
    def load(*args, **kwargs):
        raise kind("no\nnetwork")

    monkeypatch.setattr(tfds, "load", load)
    with pytest.raises(ValueError, match="give `path`.*: no network$"):
        load_cifar10(split="train")


def test_rejects_what_is_no_npz_file(save, tmp_path):
    missing = tmp_path / "missing.npz"
    with pytest.raises(ValueError, match="missing.npz, where there is no"):
        load_cifar10(missing, "train")
    with pytest.raises(ValueError, match="where there is no file"):
        load_cifar10(tmp_path, "train")

    other = tmp_path / "other.npz"
    other.write_text("not a file of arrays")
    with pytest.raises(ValueError, match="not a zip file"):
        load_cifar10(other, "train")

    with pytest.raises(ValueError, match="plain arrays.*of object"):
        load_cifar10(save(x_test=np.array([{}, None], object)), "test")

    path = save()
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="plain arrays.*Bad CRC"):
        load_cifar10(path, "train")


def test_names_the_missing_arrays(tmp_path):
    data = arrays()
    del data["x_test"], data["y_train"]
    path = tmp_path / "cifar10.npz"
    np.savez(path, **data)
    with pytest.raises(ValueError, match="none called y_train, x_test$"):
        load_cifar10(path, "train")


@pytest.mark.parametrize(
    "name, array, message",
    [
        ("x_train", np.zeros((12, 32, 32, 3)), "float64 of shape"),
        ("x_train", np.zeros((12, 3, 32, 32), "uint8"), r"\(12, 3, 32, 32\)"),
        ("x_test", np.zeros((0, 32, 32, 3), "uint8"), r"\(0, 32, 32, 3\)"),
        ("x_test", np.uint8(0), r"`x_test` must .* of shape \(\)"),
        ("y_train", np.zeros(12), r"`y_train` must be integers .* float64"),
        ("y_train", np.zeros(11, int), r"\(12,\) or \(12, 1\).* \(11,\)"),
        ("y_test", np.zeros((10, 2), int), r"\(10, 2\)"),
        ("y_test", np.arange(10) + 1, "from 0 to 9. Received: 10 at index 9"),
        ("y_test", np.arange(10) - 1, "from 0 to 9. Received: -1 at index 0"),
    ],
)
def test_rejects_wrong_arrays(save, name, array, message):
    with pytest.raises(ValueError, match=message) as error:
        load_cifar10(save(**{name: array}), name[2:])
    assert f"`{name}`" in str(error.value)
    assert "\n" not in str(error.value)


def test_rejects_wrong_sizes(save):
    path = save()
    for value in (0, -1, 2.0, True):
        with pytest.raises(
            ValueError, match="`size` must be at least 1 and .* an int"
        ):
            load_cifar10(path, "train", size=value)
    with pytest.raises(ValueError, match="`size` must be .*at most 12.*: 13"):
        load_cifar10(path, "train", size=13)


def test_rejects_unknown_splits(save):
    with pytest.raises(ValueError, match="`split`.*'validation'"):
        load_cifar10(save(), "validation")
