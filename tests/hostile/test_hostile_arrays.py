"""Arrays and pickles that others made: .npz, .npy, .pt and .pth."""

import io
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest
from attacks import Marker, refused, write_zip, zeros

from keras_noisyfer.comparison.reading import read_arrays
from keras_noisyfer.datasets.cifar10 import load_cifar10
from keras_noisyfer.datasets.cifar10n import LABEL_SETS, load_cifar10n
from keras_noisyfer.files import read_npy, read_npz
from keras_noisyfer.networks import Encoder, load_release_weights
from keras_noisyfer.tasks import CategoricalTask

pytestmark = pytest.mark.usefixtures("whole_networks")


def npy_header(shape, dtype="|u1"):
    """The header of an array, without its values."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.fixture(scope="module")
def encoder():
    return Encoder([CategoricalTask("object", 3)], (32, 32, 3), width=1 / 32)


@pytest.fixture
def comparison(tmp_path):
    """A comparison's folder, and its arrays."""
    folder = tmp_path / "cells" / "multi-label" / "vggnet" / "seed0"
    folder.mkdir(parents=True)
    (tmp_path / "cells.csv").write_text(
        "setting,method,seed\nmulti-label,vggnet,0\n"
    )
    return tmp_path, folder / "predictions.npz"


@pytest.fixture(params=["cifar10", "release", "comparison"])
def load(request, encoder, comparison, tmp_path):
    """What reads an .npz file: `load(write)` has `write(path)` make it."""
    folder, predictions = comparison

    def load(write):
        path = tmp_path / "file.npz"
        if request.param == "comparison":
            path = predictions
        write(path)
        if request.param == "cifar10":
            return load_cifar10(path, "train")
        if request.param == "release":
            return load_release_weights(encoder, path)
        name = predictions.name
        return read_arrays(folder, "multi-label", "vggnet", 0, name)

    return load


# Of CIFAR-10, so that its loader comes to look at them.
NAMES = [f"{kind}_{split}.npy" for split in ("train", "test") for kind in "xy"]


def test_objects_are_not_unpickled(load, tmp_path):
    marker = tmp_path / "ran"
    objects = np.array([Marker(marker), None], object)
    with refused("plain arrays.*an array of object"):
        load(lambda path: np.savez(path, **{n[:-4]: objects for n in NAMES}))
    assert not marker.exists()
    # It would have run:
    with np.load(tmp_path / path_of(tmp_path), allow_pickle=True) as file:
        file["x_train"]
    assert marker.exists()


def path_of(folder):
    return next(folder.rglob("*.npz"))


def test_a_bomb_is_not_unpacked(load):
    # 4 GiB of zeros would take a minute to write: they are said to be there.
    size = 2**30 + 2**20
    header = npy_header((size - 128,))

    def write(path):
        def member(file):
            file.write(header)
            zeros(2**24)(file)

        members = dict.fromkeys(NAMES, header) | {NAMES[0]: member}
        write_zip(path, members, zipfile.ZIP_DEFLATED)
        content = path.read_bytes()
        real = (2**24 + len(header)).to_bytes(4, "little")
        assert real in content[-600:]
        path.write_bytes(content.replace(real, size.to_bytes(4, "little")))
        assert path.stat().st_size < 2**16

    with refused("plain arrays.*bytes unpacked, of which"):
        load(write)


@pytest.mark.parametrize(
    "shape, dtype",
    [
        ((10**15,), "|u1"),
        ((2**40, 2**40), "<f8"),
        ((60_000, 32, 32, 3), "<f8"),
        ((-1,), "|u1"),
        ((10**12,), "|S0"),
        ((10,), [("a", "<i4", (10**6,))]),
        ((1,), "|O"),
    ],
)
def test_headers_are_not_believed(load, shape, dtype):
    header = npy_header(shape, dtype)
    with refused("plain arrays. Received: "):
        load(lambda path: write_zip(path, dict.fromkeys(NAMES, header)))


def test_damaged_archives(load):
    def encrypted(path):
        write_zip(path, dict.fromkeys(NAMES, npy_header((1,)) + b"\0"))
        content = bytearray(path.read_bytes())
        at = content.find(b"PK\1\2")
        while at >= 0:
            content[at + 8] |= 1
            at = content.find(b"PK\1\2", at + 4)
        path.write_bytes(content)

    def unknown_compression(path):
        encrypted(path)
        content = path.read_bytes().replace(b"\1\0\0\0", b"\0\0\x63\0")
        path.write_bytes(content)

    for write in (
        encrypted,
        unknown_compression,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x93NUMPY"),
        lambda path: write_zip(path, dict.fromkeys(NAMES, b"\x93NUMPY\3\0")),
    ):
        with refused("must be an .npz file of plain arrays"):
            load(write)


def test_single_arrays(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(3))
    np.testing.assert_array_equal(read_npy(path, 100), [0, 1, 2])
    for content in (
        npy_header((10**12,)),
        npy_header((3,), "|O") + pickle.dumps(Marker(tmp_path / "ran")),
        b"",
        b"PK\5\6" + bytes(18),
    ):
        path.write_bytes(content)
        with refused("a.npy must be an .npy file of a plain array"):
            read_npy(path, 100)
    assert not (tmp_path / "ran").exists()


def test_arrays_are_read_as_they_are(tmp_path):
    arrays = {"a": np.eye(3, dtype="float32"), "b": np.array(["x", "yz"])}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    read = read_npz(tmp_path / "a.npz", 1000)
    for name, each in arrays.items():
        np.testing.assert_array_equal(read[name], each)
    assert read_npz(tmp_path / "a.npz", 1000, ["a"]).keys() == {"a"}


# === Pickles ===


def write_pickle(folder, content, legacy=False):
    path = folder / "CIFAR-10_human.pt"
    if legacy:
        system = b"".join(pickle.dumps(each, 2) for each in (1, 1001, {}))
        path.write_bytes(system + content)
    else:
        write_zip(path, {"archive/data.pkl": content}, zipfile.ZIP_DEFLATED)
    return path


def pickle_of(body):
    return b"\x80\x02" + body + b"."


def nested(make, times):
    """An object of the same object twice, of the same twice, and so on."""
    body = b"".join(
        make + b"q" + bytes([i]) + b"0h" + bytes([i]) + b"h" + bytes([i])
        for i in range(times)
    )
    return body.replace(b"0h", b"h")


TEXT = b"X\0\0\x10\0" + b"a" * 2**20
PICKLES = {
    "os.system": pickle_of(b"cos\nsystem\nX\2\0\0\0ls\x85R"),
    "eval": pickle_of(b"c__builtin__\neval\nX\1\0\0\x001\x85R"),
    # Nothing of what it may ask for makes objects of these.
    "INST": pickle_of(b"(X\2\0\0\0lsios\nsystem\n"),
    "OBJ": pickle_of(b"(cos\nsystem\nX\2\0\0\0lso"),
    "NEWOBJ": pickle_of(b"cnumpy\nndarray\n)\x81"),
    "EXT1": pickle_of(b"\x82\1"),
    # The memory of two billion objects.
    "memo": pickle_of(b"]r\xff\xff\xff\x7f"),
    "bytes": pickle_of(b"\x8e" + (2**62).to_bytes(8, "little")),
    "bytearray": pickle_of(b"\x96" + (2**36).to_bytes(8, "little")),
    "number": pickle_of(b"\x8b\xff\xff\xff\x7f"),
    "digits": pickle_of(b"I" + b"9" * 10_000 + b"\n"),
    # A megabyte encoded a thousand times.
    "encode": pickle_of(
        TEXT
        + b"q\0(c_codecs\nencode\nq\1"
        + b"h\1h\0X\6\0\0\0latin1\x86R" * 1000
        + b"l"
    ),
    # A tuple of 2**60 numbers, to be hashed as a key.
    "hash": pickle_of(
        b"}K\1"
        + b"".join(
            b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60)
        )
        + b"K\1s"
    ),
    # Lists of 2**60 numbers, to be made an array.
    "lists": pickle_of(
        b"}X\x0b\0\0\0clean_label]K\1a"
        + b"".join(
            b"q" + bytes([i]) + b"0]h" + bytes([i]) + b"ah" + bytes([i]) + b"a"
            for i in range(1, 60)
        )
        + b"s"
    ),
    "deep": pickle_of(b"]" * 100_000 + b"a" * 99_999),
    "cut": pickle.dumps({"clean_label": np.arange(3)}, 2)[:-20],
    "empty": b"",
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.timeout(20)
def test_hostile_pickles(name, legacy, tmp_path):
    path = write_pickle(tmp_path, PICKLES[name], legacy)
    with refused("must be a file of CIFAR-10N|must hold clean_label", 150):
        load_cifar10n(path, "train")


def test_code_in_a_pickle_is_not_run(tmp_path):
    marker = tmp_path / "ran"
    labels = {name: np.zeros(3, int) for name in ("clean_label", *LABEL_SETS)}
    for protocol in (0, 2, 4):
        for legacy in (False, True):
            content = pickle.dumps({**labels, "x": Marker(marker)}, protocol)
            path = write_pickle(tmp_path, content, legacy)
            with refused("exec, which is not loaded from files"):
                load_cifar10n(path, "train")
            assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()


def test_a_pickle_that_unpacks_to_too_much(tmp_path):
    path = tmp_path / "CIFAR-10_human.pt"
    members = {"archive/data.pkl": zeros(2**27)}
    write_zip(path, members, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    with refused("bytes unpacked"):
        load_cifar10n(path, "train")


# === PyTorch ===


@pytest.mark.parametrize("version", ["1.13.1", "2.5.1+cu121", "2.9.1"])
def test_torch_that_runs_code_is_not_used(
    version, encoder, tmp_path, monkeypatch
):
    path = tmp_path / "a.pth"
    path.write_bytes(b"")
    torch = types.SimpleNamespace(load=None, __version__=version)
    monkeypatch.setitem(sys.modules, "torch", torch)
    with refused(r"needs PyTorch 2\.10 or later"):
        load_release_weights(encoder, path)


def test_weights_of_torch(encoder, tmp_path):
    torch = pytest.importorskip("torch")
    marker = tmp_path / "ran"
    path = tmp_path / "a.pth"
    torch.save({"a": Marker(marker)}, path)
    with refused("a.pth must be a state dict of PyTorch"):
        load_release_weights(encoder, path)
    assert not marker.exists()
    # One number that is a million times a million.
    many = torch.zeros(1).expand(10**6, 10**6)
    torch.save({"a": many}, path)
    with refused("a tensor of shape"):
        load_release_weights(encoder, path)
    torch.save([1], path)
    with refused("a.pth must be a state dict of PyTorch"):
        load_release_weights(encoder, path)


def test_a_pth_file_that_unpacks_to_too_much(encoder, tmp_path, monkeypatch):
    torch = types.SimpleNamespace(load=None, __version__="2.13.0")
    monkeypatch.setitem(sys.modules, "torch", torch)
    path = tmp_path / "a.pth"
    write_zip(path, {"a/data.pkl": zeros(2**27)}, zipfile.ZIP_DEFLATED)
    with refused("a.pth must not unpack to more than"):
        load_release_weights(encoder, path)
    write_zip(path, {"../../data.pkl": b""})
    with refused("a.pth must hold names within a folder"):
        load_release_weights(encoder, path)
