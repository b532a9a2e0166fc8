import io
import pickle
import zipfile

import numpy as np
import pytest

from keras_noisyfer.datasets import cifar10n
from keras_noisyfer.datasets.cifar10n import LABEL_SETS, load_cifar10n
from keras_noisyfer.datasets.pairing import row_checksums

COUNT = 12
# Image i is the ORDER.index(i)-th of TFDS.
ORDER = np.random.default_rng(4).permutation(COUNT)


def human_labels(order=slice(None)):
    """Label sets that differ, each from its place on."""
    truth = np.arange(COUNT) % 10
    labels = {"clean_label": truth}
    for shift, name in enumerate(LABEL_SETS, 1):
        labels[name] = (truth + shift) % 10
    return {name: each[order] for name, each in labels.items()}


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "cifar10.npz"
    generator = np.random.default_rng(0)
    np.savez(
        path,
        x_train=generator.integers(0, 256, (COUNT, 32, 32, 3), "uint8"),
        y_train=np.arange(COUNT) % 10,
        x_test=generator.integers(0, 256, (10, 32, 32, 3), "uint8"),
        y_test=np.arange(10),
    )
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "repository" / "data"
    folder.mkdir(parents=True)
    return folder


def write_torch(folder, labels=None, protocol=2):
    """As `torch.save` writes a dict of arrays."""
    labels = human_labels() if labels is None else labels
    path = folder / "CIFAR-10_human.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(labels, protocol))
        archive.writestr("archive/version", "3\n")
    return path


def write_old_torch(folder):
    """As `torch.save` did before PyTorch 1.6."""
    path = folder / "CIFAR-10_human.pt"
    system = {"protocol_version": 1001, "little_endian": True}
    parts = (0x1950A86A20F9469CFC6C, 1001, system, human_labels(), [])
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))
    return path


def write_numpy(folder):
    """As the authors wrote theirs: lists of NumPy integers."""
    path = folder / "CIFAR-10_human_ordered.npy"
    labels = human_labels(ORDER)
    np.save(path, {name: list(each) for name, each in labels.items()})
    return path


def write_csv(folder):
    """As TFDS has it made of that file, with a BOM and CRLF on top."""
    path = folder / "CIFAR-10_human_annotations.csv"
    columns = human_labels(ORDER)
    lines = [",".join(columns)]
    rows = zip(*columns.values(), strict=True)
    lines += [",".join(map(str, row)) for row in rows]
    path.write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    return path


def write_order(folder, order=ORDER):
    np.save(folder / "image_order_c10.npy", order)


def assert_is_cifar10n(data):
    expected = human_labels()
    np.testing.assert_array_equal(data.clean["object"], np.arange(COUNT) % 10)
    assert data.labels["object"].dtype == np.int32
    for index in range(3):
        np.testing.assert_array_equal(
            data.labels["object"][:, index],
            expected[f"random_label{index + 1}"],
        )


# === The layouts ===


@pytest.mark.parametrize("protocol", [2, 4])
def test_reads_the_authors_torch_file(folder, images, protocol):
    path = write_torch(folder, protocol=protocol)
    data = load_cifar10n(path, "train", images)
    assert_is_cifar10n(data)
    assert data.tasks[0].annotators == 3
    with np.load(images) as file:
        np.testing.assert_array_equal(data.images.images, file["x_train"])


def test_reads_arrays_as_numpy_1_wrote_them(folder, images):
    content = pickle.dumps(human_labels(), 2)
    assert b"numpy._core" in content or b"numpy.core" in content
    content = content.replace(b"numpy._core", b"numpy.core")
    path = folder / "CIFAR-10_human.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    assert_is_cifar10n(load_cifar10n(path, "train", images))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", ">i8"])
def test_reads_other_integers(folder, images, dtype):
    labels = {n: each.astype(dtype) for n, each in human_labels().items()}
    path = write_torch(folder, labels)
    assert_is_cifar10n(load_cifar10n(path, "train", images))


def test_reads_the_older_torch_format(folder, images):
    path = write_old_torch(folder)
    assert_is_cifar10n(load_cifar10n(path, "train", images))


@pytest.mark.parametrize("write", [write_numpy, write_csv])
@pytest.mark.parametrize("above", [False, True])
def test_reads_labels_in_the_order_of_tfds(folder, images, write, above):
    path = write(folder)
    write_order(folder.parent if above else folder)
    assert_is_cifar10n(load_cifar10n(path, "train", images))


@pytest.mark.parametrize("write", [write_torch, write_numpy, write_csv])
def test_finds_the_file_of_a_folder(folder, images, write):
    write(folder)
    write_order(folder)
    assert_is_cifar10n(load_cifar10n(folder, "train", images))


def test_label_sets_can_be_chosen(folder, images):
    path = write_torch(folder)
    data = load_cifar10n(path, "train", images, label_sets=["worse_label"])
    assert data.tasks[0].annotators == 1
    np.testing.assert_array_equal(
        data.labels["object"][:, 0], human_labels()["worse_label"]
    )
    names = ("aggre_label", "random_label2")
    data = load_cifar10n(path, "train", images, 5, names)
    assert len(data) == 5
    for index, name in enumerate(names):
        np.testing.assert_array_equal(
            data.labels["object"][:, index], human_labels()[name][:5]
        )


def test_test_images_have_true_labels(folder, images):
    data = load_cifar10n(write_torch(folder), "test", images, size=4)
    assert data.tasks[0].annotators == 3
    np.testing.assert_array_equal(data.labels["object"], np.arange(4))


# === Labels never shift ===


def test_labels_of_other_images_are_refused(folder, images):
    labels = {name: np.roll(each, 1) for name, each in human_labels().items()}
    path = write_torch(folder, labels)
    with pytest.raises(ValueError, match="differs for 12 of 12 images"):
        load_cifar10n(path, "train", images)
    labels = human_labels()
    labels["clean_label"] = labels["clean_label"].copy()
    labels["clean_label"][3] = 7
    path = write_torch(folder, labels)
    with pytest.raises(ValueError, match="differs for 1 of 12 images"):
        load_cifar10n(path, "train", images)


def test_the_order_of_tfds_needs_its_file(folder, images):
    path = write_numpy(folder)
    with pytest.raises(ValueError, match="need image_order_c10.npy in their"):
        load_cifar10n(path, "train", images)
    write_order(folder, np.roll(ORDER, 1))
    with pytest.raises(ValueError, match=r"differs for \d+ of 12 images$"):
        load_cifar10n(path, "train", images)


@pytest.mark.parametrize(
    "order, message",
    [
        (np.arange(COUNT - 1), r"0 to 11 once.*int64 of shape \(11,\)"),
        (np.zeros(COUNT, int), "must hold every index from 0 to 11 once"),
    ],
)
def test_rejects_wrong_orders(folder, images, order, message):
    path = write_numpy(folder)
    write_order(folder, order)
    with pytest.raises(ValueError, match=message):
        load_cifar10n(path, "train", images)
    (folder / "image_order_c10.npy").write_text("<html>")
    with pytest.raises(ValueError, match="image_order_c10.npy must be an .npy"):
        load_cifar10n(path, "train", images)


def test_rejects_another_number_of_labels(folder, images):
    labels = {name: each[:-1] for name, each in human_labels().items()}
    path = write_torch(folder, labels)
    with pytest.raises(ValueError, match="one label an image: 12.*with 11"):
        load_cifar10n(path, "train", images)
    labels = {**human_labels(), "random_label3": np.zeros(5, int)}
    path = write_torch(folder, labels)
    with pytest.raises(ValueError, match="of one length"):
        load_cifar10n(path, "train", images)


# === Bad files ===


def test_no_code_in_a_file_is_run(folder, images):
    class Command:
        def __reduce__(self):
            target = folder / "ran"
            return exec, (f"open({str(target)!r}, 'w').close()",)

    bad = {**human_labels(), "more": Command()}
    refusal = "it asks for builtins.exec, which is not loaded"
    ordered = folder / "CIFAR-10_human_ordered.npy"
    np.save(ordered, bad)
    for path in (ordered, write_torch(folder, bad, protocol=4)):
        with pytest.raises(ValueError, match=refusal):
            load_cifar10n(path, "train", images)
    assert not (folder / "ran").exists()
    # It would have run:
    pickle.loads(pickle.dumps(bad))
    assert (folder / "ran").exists()


def test_tensors_are_refused(folder, images):
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return "storage" if isinstance(obj, np.ndarray) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(human_labels())
    path = folder / "CIFAR-10_human.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
    with pytest.raises(ValueError, match="holds tensors, not NumPy arrays"):
        load_cifar10n(path, "train", images)


@pytest.mark.parametrize(
    "labels, message",
    [
        ({"clean_label": np.arange(12) % 10}, "with clean_label$"),
        ({}, "with none of them"),
        (3, "not iterable"),
        ({**human_labels(), "random_label1": np.arange(12)}, "0 to 9"),
        ({**human_labels(), "random_label1": np.zeros((12, 1), int)}, "0 to 9"),
        ({**human_labels(), "random_label1": np.zeros(12)}, "dtype <f8"),
        ({**human_labels(), "random_label1": [None] * 12}, "0 to 9"),
    ],
)
def test_rejects_other_contents(folder, images, labels, message):
    path = write_torch(folder, labels)
    with pytest.raises(ValueError, match=message) as error:
        load_cifar10n(path, "train", images)
    assert "CIFAR-10_human.pt" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.pt", "a.npy", "a.csv"])
@pytest.mark.parametrize(
    "content", [b"", b"<html>\nNot found", b"\x80\x02}q\x00(X\x05"]
)
def test_rejects_damaged_files(folder, images, name, content):
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match="github.com/UCSC|must hold") as error:
        load_cifar10n(path, "train", images)
    assert name in str(error.value) and "\n" not in str(error.value)


def test_rejects_cut_files(folder, images):
    for write in (write_torch, write_old_torch, write_numpy):
        path = write(folder)
        path.write_bytes(path.read_bytes()[:-150])
        with pytest.raises(ValueError, match="must be a file of CIFAR-10N"):
            load_cifar10n(path, "train", images)


def test_missing_files_and_other_formats(folder, images):
    with pytest.raises(ValueError, match="CIFAR-10_human.pt.*UCSC-REAL.*no su"):
        load_cifar10n(folder, "train", images)
    with pytest.raises(ValueError, match="nowhere.pt, where there is no such"):
        load_cifar10n(folder / "nowhere.pt", "train", images)
    path = folder / "labels.txt"
    path.write_text("1 2")
    with pytest.raises(ValueError, match=r"\.pt, \.npy or \.csv.*labels.txt"):
        load_cifar10n(path, "train", images)


@pytest.mark.parametrize(
    "label_sets",
    ["aggre_label", (), ("random_label4",), ("aggre_label", "aggre_label")],
)
def test_rejects_wrong_label_sets(folder, images, label_sets):
    with pytest.raises(ValueError, match="`label_sets` must be a sequence"):
        load_cifar10n(
            write_torch(folder), "train", images, label_sets=label_sets
        )


def test_rejects_wrong_splits_and_sizes(folder, images):
    path = write_torch(folder)
    with pytest.raises(ValueError, match="`split`.*'validation'"):
        load_cifar10n(path, "validation", images)
    with pytest.raises(ValueError, match="`size` must be at least 1"):
        load_cifar10n(path, "train", images, size=0)
    with pytest.raises(ValueError, match="`size` must be .*at most 12.*: 13"):
        load_cifar10n(path, "train", images, size=13)


# === Rows of one class that have changed places ===


@pytest.fixture
def published(monkeypatch, images):
    """The checksums of the images and labels of these tests."""
    labels = human_labels()
    # People need not say the same of two images of one class.
    labels["random_label1"][0] = 5
    rows = np.stack([labels[name] for name in ("clean_label", *LABEL_SETS)], 1)
    checksums = row_checksums(rows.astype("uint8"))
    monkeypatch.setattr(cifar10n, "PUBLISHED_LABELS", checksums)
    with np.load(images) as file:
        checksums = row_checksums(file["x_train"])
    monkeypatch.setattr(cifar10n, "PUBLISHED_IMAGES", checksums)
    return labels


def swapped(array):
    # Both are of class 0.
    array = array.copy()
    array[[0, 10]] = array[[10, 0]]
    return array


def test_images_that_have_changed_places(folder, images, published):
    path = write_torch(folder, published)
    load_cifar10n(path, "train", images)
    with np.load(images) as file:
        arrays = dict(file)
    arrays["x_train"] = swapped(arrays["x_train"])
    np.savez(images, **arrays)
    with pytest.raises(ValueError, match="Images of `path` must be in the ord"):
        load_cifar10n(path, "train", images)


@pytest.mark.parametrize("label_sets", [LABEL_SETS[:3], ["worse_label"]])
def test_labels_that_have_changed_places(folder, images, published, label_sets):
    labels = {name: swapped(each) for name, each in published.items()}
    path = write_torch(folder, labels)
    with pytest.raises(ValueError, match="Labels of .*human.pt must be in the"):
        load_cifar10n(path, "train", images, label_sets=label_sets)
