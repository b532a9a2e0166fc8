"""CIFAR-10N: CIFAR-10 as three people on the web labelled it."""

import io
import os
import pathlib
import pickle
import pickletools
import zipfile
from collections.abc import Sequence

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.cifar10 import (
    CLASS_NAMES,
    MAX_IMAGES,
    load_cifar10,
    take_first,
)
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.long_table import from_long, long_labels
from keras_noisyfer.datasets.pairing import check_order
from keras_noisyfer.files import open_rows, read_npy
from keras_noisyfer.typing import PathLike

HUMAN_LABEL_SETS = ("random_label1", "random_label2", "random_label3")
LABEL_SETS = (*HUMAN_LABEL_SETS, "aggre_label", "worse_label")
# What is looked for in a folder, in this order.
LABEL_FILES = (
    "CIFAR-10_human.pt",
    "CIFAR-10_human_ordered.npy",
    "CIFAR-10_human_annotations.csv",
)
ORDER_FILE = "image_order_c10.npy"
# Checksums of the published training images and labels, in the order of the
# original batches; see `check_order`.
PUBLISHED_IMAGES = ("bbfa06ea6dd554a9", "faeb2f9ccb55c2f0")
PUBLISHED_LABELS = ("a9d5731795019a3a", "ee1089043cdb2600")
SOURCE = "https://github.com/UCSC-REAL/cifar-10-100n"
# The largest of the authors' files has a tenth of it.
MAX_BYTES = 2**25
# What pickles of dicts, lists, numbers, texts and NumPy arrays are made of.
# Left out are objects and what makes them, buffers, whose sizes would be
# believed, and sets, whose members are hashed.
OPCODES = (
    "PROTO STOP FRAME MARK "
    "NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 "
    "FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING "
    "UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS "
    "EMPTY_DICT DICT SETITEM SETITEMS "
    "PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET "
    "GLOBAL STACK_GLOBAL REDUCE BUILD PERSID BINPERSID"
).split()


def load_cifar10n(
    labels_path: PathLike,
    split: str = "train",
    path: PathLike | None = None,
    size: int | None = None,
    label_sets: Sequence[str] = HUMAN_LABEL_SETS,
) -> LabelledImages:
    """Loads CIFAR-10 with the labels of human annotators.

    Three people labelled each training image, other people other images. A
    label set counts as one annotator all the same.

    Labels in the order of the original batches (`CIFAR-10_human.pt`) or of
    TFDS (the other files) are put in the order of the images, and their true
    labels compared one by one. That no two of one class have changed places
    is checked by a checksum, for the published images and for a file with all
    the published labels.

    Args:
        labels_path: One of the files `CIFAR-10_human.pt`,
            `CIFAR-10_human_ordered.npy` and
            `CIFAR-10_human_annotations.csv` (as TFDS' `cifar10_n` has it in
            its `manual_dir`), or the folder of one. The latter two need
            `image_order_c10.npy` in the same folder or the one above. No
            PyTorch is needed, and no code in a file is ever run.
        split: `"train"`, or `"test"`: images that have true labels only, for
            a task of as many annotators.
        path: `.npz` file with the images, see `load_cifar10`.
        size: Number of images, the first of those there are. By default all
            of them.
        label_sets: Names of the annotators: `"random_label1"`,
            `"random_label2"` and `"random_label3"`, what people said;
            `"aggre_label"`, the majority of the three; `"worse_label"`, a
            wrong one of the three where there is one.

    Returns:
        A `LabelledImages` with the categorical task `object`, whose clean
        labels are CIFAR-10's own.

    Raises:
        ValueError: if a file is missing, has other contents or cannot be
            read, labels do not belong to the images, or an argument is out
            of its range.

    Example:

    >>> path = "CIFAR-10_human.pt"
    >>> train = load_cifar10n(path, "train", "cifar10.npz")
    >>> worst = load_cifar10n(path, label_sets=["worse_label"])

    Reference:

    - [Wei et al., 2022](https://arxiv.org/abs/2110.12088)
    """
    if (
        not isinstance(label_sets, (tuple, list))
        or not label_sets
        or not set(label_sets) <= set(LABEL_SETS)
        or len(set(label_sets)) < len(label_sets)
    ):
        raise ValueError(
            "`label_sets` must be a sequence of different names among "
            f"{', '.join(LABEL_SETS)}. Received: {label_sets!r}"
        )
    labels_path = _find(labels_path)
    labels = _read(labels_path, ("clean_label", *label_sets))
    data = load_cifar10(path, split, annotators=None)
    if split == "train":
        check_order(data.images.images, PUBLISHED_IMAGES, "Images of `path`")
        order = _match(labels["clean_label"], data, labels_path)
        labels = labels.iloc[order]
        if set(LABEL_SETS) <= set(labels):
            rows = labels[["clean_label", *LABEL_SETS]].to_numpy("uint8")
            check_order(rows, PUBLISHED_LABELS, f"Labels of {labels_path}")
        who = {"object": list(label_sets)}
        table = long_labels(
            "object", labels[who["object"]], labels["clean_label"]
        )
        data = from_long(table, data.images, data.tasks, data.report, who)
    else:
        task = data.tasks[0].with_annotators(len(label_sets))
        data = data.with_labels(data.labels, [task])
    return take_first(data, size)


def _find(labels_path):
    """The file that a path names, or the first one in its folder."""
    paths = [os.path.join(labels_path, name) for name in LABEL_FILES]
    found = [*filter(os.path.isfile, (labels_path, *paths))]
    if not found:
        raise ValueError(
            f"`labels_path` must be {', '.join(LABEL_FILES)}, or the folder of "
            f"one; get it from {SOURCE}. Received: {labels_path}, where there "
            "is no such file"
        )
    return found[0]


def _match(true_labels, data, labels_path):
    """For each image the index of its labels in their file."""
    count, expected = len(data), data.clean["object"]
    if len(true_labels) != count:
        raise ValueError(
            f"`labels_path` must hold one label an image: {count}. "
            f"Received: {labels_path} with {len(true_labels)}"
        )
    orders = [np.arange(count)]
    for folder in pathlib.Path(labels_path).absolute().parents[:2]:
        # It gives for each label the index of its image.
        if (folder / ORDER_FILE).is_file():
            orders.append(np.argsort(_read_order(folder / ORDER_FILE, count)))
            break
    true_labels = true_labels.to_numpy()
    wrong = [(true_labels[each] != expected).sum() for each in orders]
    best = np.argmin(wrong)
    if wrong[best]:
        hint = f". Labels in the order of TFDS need {ORDER_FILE} in their "
        hint += f"folder; get it from {SOURCE}"
        raise ValueError(
            "`labels_path` must hold the true label of every image as "
            f"clean_label. Received: {labels_path}, which differs for "
            f"{wrong[best]:,} of {count:,} images{hint * (len(orders) == 1)}"
        )
    return orders[best]


def _read_order(path, count):
    order = read_npy(path, MAX_IMAGES * 8)
    if not np.array_equal(np.sort(order, axis=None), np.arange(count)):
        raise ValueError(
            f"{path} must hold every index from 0 to {count - 1} once. "
            f"Received: {order.dtype} of shape {order.shape}"
        )
    return order


# === Files of labels ===


def _read(path, names):
    """A table with a column a label set, int32."""
    extension = os.path.splitext(path)[1].lower()
    read = {".pt": _read_torch, ".npy": _read_numpy, ".csv": _read_csv}
    if extension not in read:
        raise ValueError(
            f"`labels_path` must be a .pt, .npy or .csv file. Received: {path}"
        )
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes")
        table = read[extension](path)
        # The others tell whether rows have changed places.
        known = dict.fromkeys((*names, *LABEL_SETS))
        labels = {n: _class_ids(table[n]) for n in known if n in table}
    # A damaged pickle can lead to any error at all.
    except Exception as error:
        raise ValueError(
            f"`labels_path` must be a file of CIFAR-10N, from {SOURCE}. "
            f"Received: {path}: {one_line(error) or type(error).__name__}"
        ) from error
    if set(names) - set(labels) or len({*map(len, labels.values())}) != 1:
        raise ValueError(
            f"`labels_path` must hold {', '.join(names)}, of one length. "
            f"Received: {path}, with {', '.join(labels) or 'none of them'}"
        )
    return pd.DataFrame(labels)


def _class_ids(values):
    # Lists within lists would be gone through, and may hold themselves.
    is_list = isinstance(values, list)
    if is_list and not all(isinstance(e, (int, np.integer)) for e in values):
        values = np.empty((0, 0))
    values = np.asarray(values)
    if values.ndim != 1 or not np.isin(values, range(len(CLASS_NAMES))).all():
        raise ValueError(f"not class ids from 0 to {len(CLASS_NAMES) - 1}")
    return values.astype("int32")


def _read_torch(path):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickles = [n for n in names if n.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ValueError("no file of PyTorch")
            if archive.getinfo(pickles[0]).file_size > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES:,} bytes unpacked")
            return _unpickle(io.BytesIO(archive.read(pickles[0])))
    # `_read` has seen how large it is.
    file = io.BytesIO(pathlib.Path(path).read_bytes())
    # PyTorch before 1.6: a magic number, a version and facts on the machine
    # come first.
    return [_unpickle(file) for _ in range(4)][-1]


def _read_numpy(path):
    file = io.BytesIO(pathlib.Path(path).read_bytes())
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not as np.save writes a dict")
    np.lib.format.read_array_header_1_0(file)
    (labels,) = _unpickle(file).values
    return labels


def _read_csv(path):
    with open_rows(path) as file:
        return pd.read_csv(file)


def _unpickle(file):
    """The object that a pickle in a `BytesIO` holds; `file` is then behind it.

    It is looked through first: a few bytes could ask for any memory.
    """
    start = file.tell()
    last, memo, tuples = None, set(), set()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        name = opcode.name
        if name not in OPCODES:
            raise ValueError(f"a pickle with {name}")
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = len(memo) if name == "MEMOIZE" else argument
            # A list of that length is allocated.
            if place > count:
                raise ValueError(f"a pickle of {place:,} objects")
            memo.add(place)
            if last in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
                tuples.add(place)
        # A tuple of the same tuple twice, and so on: its hash takes for ever.
        if name in ("GET", "BINGET", "LONG_BINGET") and argument in tuples:
            raise ValueError("a pickle with one tuple in several places")
        last = name
    end = file.tell()
    file.seek(start)
    loaded = _Unpickler(file).load()
    file.seek(end)
    return loaded


class _Unpickler(pickle.Unpickler):
    """Reads dicts, lists and NumPy arrays, as stand-ins: NumPy's own classes
    would trust what a file says of their memory. Refuses everything else."""

    def __init__(self, file):
        super().__init__(file)
        self._left_to_encode = MAX_BYTES

    def _encode(self, text, _):
        # One text may be named again and again.
        self._left_to_encode -= len(text)
        if self._left_to_encode < 0:
            raise ValueError(f"more than {MAX_BYTES:,} bytes unpacked")
        return text.encode("latin1")

    def find_class(self, module, name):
        known = {
            "numpy.ndarray": _Array,
            "numpy.dtype": _DType,
            "numpy.core.multiarray._reconstruct": lambda kind, *_: kind(),
            "numpy.core.multiarray.scalar": _scalar,
            # How bytes are kept for Python 2.
            "_codecs.encode": self._encode,
        }
        # As NumPy 2 calls it.
        path = f"{module}.{name}".replace("numpy._core", "numpy.core")
        if path not in known:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which is not loaded from files"
            )
        return known[path]

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("it holds tensors, not NumPy arrays")


class _DType:
    def __init__(self, name, *_):
        self.name = name

    def __setstate__(self, state):
        self.name = state[1] + self.name

    def read(self, data):
        if self.name.lstrip("<>|=") not in ("i8", "i4", "i2", "i1", "u1"):
            raise ValueError(f"labels of dtype {self.name}")
        return np.frombuffer(data, self.name)


class _Array:
    def __setstate__(self, state):
        _, shape, dtype, _, data = state
        # An array of objects, such as a dict, comes as a list.
        is_list = isinstance(data, list)
        self.values = data if is_list else dtype.read(data).reshape(shape)

    def __array__(self, dtype=None, copy=None):
        return self.values


def _scalar(dtype, data):
    return dtype.read(data)[0]
