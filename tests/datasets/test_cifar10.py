import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_noisyfer.datasets.cifar10 import CLASS_NAMES, load_cifar10


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


def assert_is_cifar10(data, train, test):
    assert list(data) == ["x_train", "y_train", "x_test", "y_test"]
    expected = arrays()
    for split, count in (("train", train), ("test", test)):
        images, labels = data[f"x_{split}"], data[f"y_{split}"]
        assert images.dtype == np.uint8 and labels.dtype == np.int32
        np.testing.assert_array_equal(images, expected[f"x_{split}"][:count])
        np.testing.assert_array_equal(labels, expected[f"y_{split}"][:count])


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
    assert_is_cifar10(load_cifar10(save(**labels)), 12, 10)


def test_takes_the_first_images(save):
    data = load_cifar10(save(), train_size=5, test_size=3)
    assert_is_cifar10(data, 5, 3)
    assert_is_cifar10(load_cifar10(save(), train_size=12), 12, 10)


def test_downloads_through_tfds(monkeypatch):
    def load(name, split, batch_size):
        assert (name, batch_size) == ("cifar10", -1)
        data = arrays()
        return [
            {
                "image": tf.constant(data[f"x_{each}"]),
                "label": tf.constant(data[f"y_{each}"], "int64"),
            }
            for each in split
        ]

    monkeypatch.setattr(tfds, "load", load)
    assert_is_cifar10(load_cifar10(train_size=7), 7, 10)


@pytest.mark.parametrize("kind", [ConnectionError, ImportError])
def test_a_failed_download_says_what_else_there_is(monkeypatch, kind):
    def load(*args, **kwargs):
        raise kind("no\nnetwork")

    monkeypatch.setattr(tfds, "load", load)
    with pytest.raises(ValueError, match="give `path`.*: no network$"):
        load_cifar10()


def test_rejects_what_is_no_npz_file(save, tmp_path):
    missing = tmp_path / "missing.npz"
    with pytest.raises(ValueError, match="missing.npz, where there is no"):
        load_cifar10(missing)
    with pytest.raises(ValueError, match="where there is no file"):
        load_cifar10(tmp_path)

    other = tmp_path / "other.npz"
    other.write_text("not a file of arrays")
    with pytest.raises(ValueError, match="in another format"):
        load_cifar10(other)

    with pytest.raises(ValueError, match="plain arrays.*allow_pickle"):
        load_cifar10(save(x_test=np.array([{}, None], object)))

    path = save()
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="plain arrays.*Bad CRC"):
        load_cifar10(path)


def test_names_the_missing_arrays(tmp_path):
    data = arrays()
    del data["x_test"], data["y_train"]
    path = tmp_path / "cifar10.npz"
    np.savez(path, **data)
    with pytest.raises(ValueError, match="without y_train, x_test$"):
        load_cifar10(path)


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
        load_cifar10(save(**{name: array}))
    assert f"`{name}`" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("argument", ["train_size", "test_size"])
def test_rejects_wrong_sizes(save, argument):
    for value in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match=f"`{argument}` must be an int"):
            load_cifar10(save(), **{argument: value})
    with pytest.raises(ValueError, match=f"`{argument}` must be at most 1"):
        load_cifar10(save(), **{argument: 13})
