"""FER+: the faces of FER2013 with ten crowd votes each."""

import os
import warnings

import numpy as np
import pandas as pd

from keras_noisyfer import noise
from keras_noisyfer.arguments import check_choice, check_number, one_line
from keras_noisyfer.datasets.faces.expressions import expression_task
from keras_noisyfer.datasets.image_files import check_image_files
from keras_noisyfer.datasets.image_names import ImageFolder
from keras_noisyfer.datasets.image_sources import ImageArray, ImageFiles
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.long_table import from_long, long_labels
from keras_noisyfer.datasets.pairing import (
    are_copies,
    check_numbers,
    check_pixels,
)
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.synthetic_faces import EXPRESSIONS, SPLITS
from keras_noisyfer.datasets.table_cells import cell_text
from keras_noisyfer.files import open_rows
from keras_noisyfer.typing import PathLike

IMAGE_SHAPE = (48, 48, 1)
MISSING = -1
# Columns of votes, in the order of FER+, and the expressions that the first
# of them mean.
VOTE_COLUMNS = (
    "neutral happiness surprise sadness anger disgust fear contempt unknown NF"
).split()
VOTE_EXPRESSIONS = "neutral happy surprise sad anger disgust fear".split()
VOTES = 10
# In the order of the class ids of FER2013's own labels.
FER2013_EXPRESSIONS = "anger disgust fear happy sad surprise neutral".split()
USAGES = dict(
    zip(SPLITS, ("Training", "PublicTest", "PrivateTest"), strict=True)
)
FOLDERS = {
    split: f"FER2013{name}"
    for split, name in zip(SPLITS, ("Train", "Valid", "Test"), strict=True)
}
SOURCES = {
    "fer2013.csv": "https://www.kaggle.com/c/challenges-in-representation-"
    "learning-facial-expression-recognition-challenge/data",
    "fer2013new.csv": "https://github.com/microsoft/FERPlus",
}
# The same rows, as Kaggle has them in another file of the same page.
OTHER_SOURCE = "icml_face_data.csv"
_CLASS_IDS = np.full(len(VOTE_COLUMNS), MISSING, "int32")
_CLASS_IDS[: len(VOTE_EXPRESSIONS)] = [
    *map(EXPRESSIONS.index, VOTE_EXPRESSIONS)
]


def load_ferplus(
    data_dir: PathLike,
    split: str = "train",
    annotators: int = 3,
    seed: int = 0,
    original_label: bool = False,
    on_error: str = "raise",
) -> LabelledImages:
    """Loads FER+: faces whose expression ten people voted on.

    Each annotator of a training image is one of its votes, drawn without
    replacement; a vote for contempt, for unknown or for "not a face" (NF)
    is a missing label.

    The clean label is the one of the seven expressions with the most of all
    ten votes; it is missing where two of them tie, or where contempt, unknown
    or NF has more. The rule that FER+'s authors call majority is stricter: it
    drops columns with a single vote, then wants more than half of the votes
    left; and contempt is an eighth class there.

    Args:
        data_dir: Folder with `fer2013.csv` or `icml_face_data.csv` (Kaggle)
            and `fer2013new.csv` (FER+), or with the folders `FER2013Train`,
            `FER2013Valid` and `FER2013Test`, each with images and a
            `label.csv`, that FER+'s own script makes of them. Their published
            `label.csv` holds other votes than `fer2013new.csv` for one image
            in twenty. Nothing but their place pairs the rows of two tables:
            checked are their number, `Usage`, the order of the names and, by
            a checksum, that no image of FER2013 has the name of another.
        split: `"train"`, or `"validation"` (FER2013's public test images) or
            `"test"` (its private ones), whose labels are the clean ones.
        annotators: Number of votes that are drawn an image, 1 to 10.
        seed: Non-negative integer, of the draw. Another number of annotators
            leaves the votes of the first ones as they are.
        original_label: Whether FER2013's own label is one more annotator,
            the last. It is in `fer2013.csv` only.
        on_error: `"raise"` or `"skip"`: what to do about an image that
            cannot be used, see `ImportReport`.

    Returns:
        A `LabelledImages` with the categorical task `expression`, whose
        classes are `EXPRESSIONS`, annotators `vote 1`, `vote 2` and so on,
        and last `FER2013`, and with `extras["votes"]`: int32 of shape
        `(n, 10)`, the number of votes by `VOTE_COLUMNS`. Images without a
        clean label stay; for evaluation their label is missing. Images that
        FER+ removed, second rows of an image, and images with the pixels of
        another one with a lower number, be it in another split, are left out
        and counted in the report's notes.

    Raises:
        ValueError: if a file is missing or has other contents, the two CSV
            files do not match, an argument is out of its range, or, as
            `on_error` says, an image cannot be used.

    Example:

    >>> train = load_ferplus("ferplus", annotators=3)
    >>> train.labels["expression"].shape
    (27334, 3)
    >>> dataset = train.batches((64, 64, 3), training=True)

    Reference:

    - [Barsoum et al., 2016](https://arxiv.org/abs/1608.01041)
    """
    check_choice("split", split, SPLITS)
    check_number("annotators", annotators, 1, maximum=VOTES, integer=True)
    check_number("seed", seed, 0, integer=True)
    report = ImportReport(on_error)
    tables = [os.path.join(data_dir, name) for name in SOURCES]
    other = os.path.join(data_dir, OTHER_SOURCE)
    if not os.path.isfile(tables[0]) and os.path.isfile(other):
        tables[0] = other
    folder = os.path.join(data_dir, FOLDERS[split])
    if os.path.isfile(os.path.join(folder, "label.csv")) and not all(
        map(os.path.isfile, tables)
    ):
        if original_label:
            raise ValueError(
                "`original_label` must be False for the folders that FER+'s "
                f"script makes: only fer2013.csv has it. Received: {data_dir}"
            )
        rows, images, good = _read_folder(folder, report)
    else:
        rows, images, good = _read_tables(tables, data_dir, split, report)
    if not good.any():
        raise ValueError(
            "`data_dir` must hold images of the split that can be used. "
            f"Received: {data_dir}, with none"
        )

    votes = rows[VOTE_COLUMNS].to_numpy("int32")
    # Before bad images are left out: the others keep their votes.
    drawn = noise.draw_votes(votes, annotators, [seed, SPLITS.index(split)])
    # Where there is no more vote, -1, as where the last of them is given.
    labels = pd.DataFrame(_CLASS_IDS[drawn])
    labels = labels.rename(columns=lambda number: f"vote {number + 1}")
    if original_label:
        labels["FER2013"] = rows["original"].to_numpy()
    votes = votes[good]
    data = from_long(
        long_labels("expression", labels[good], _plurality(votes)),
        images,
        [expression_task()],
        report,
        {"expression": list(labels)},
        truths=["expression"],
        extras={"votes": votes},
    )
    if split == "train":
        return data
    return data.with_labels(data.clean, data.tasks, annotators={})


def _plurality(votes):
    """Class ids of the expressions with the most votes, -1 where unclear."""
    is_class = _CLASS_IDS != MISSING
    expressions, others = votes[:, is_class], votes[:, ~is_class]
    most = expressions.max(axis=1)
    winner = _CLASS_IDS[is_class][expressions.argmax(axis=1)]
    is_single = (expressions == most[:, None]).sum(axis=1) == 1
    is_clear = is_single & (most >= others.max(axis=1))
    return np.where(is_clear, winner, MISSING).astype("int32")


def _check_votes(table, path):
    votes = table[VOTE_COLUMNS]
    numbers = votes.apply(pd.to_numeric, errors="coerce").to_numpy("float64")
    wrong = np.argwhere(~np.isin(numbers, range(VOTES + 1)))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"{path}: numbers of votes must be from 0 to {VOTES}. "
            f"Received: {one_line(votes.iat[row, column])!r} for "
            f"{VOTE_COLUMNS[column]} in row {row}"
        )
    return table.assign(**dict(zip(VOTE_COLUMNS, numbers.T, strict=True)))


def _read_folder(folder, report):
    path = os.path.join(folder, "label.csv")
    rows = _read_csv(path)
    # The second column is the face's box, which is the whole image.
    columns = ["name", "box", *VOTE_COLUMNS]
    if len(rows.columns) != len(columns):
        raise ValueError(
            f"{path} must have {len(columns)} columns without names: image, "
            f"box, {', '.join(VOTE_COLUMNS)}. Received: {len(rows.columns)}"
        )
    rows = _check_votes(rows.set_axis(columns, axis=1), path)
    repeated = rows["name"].duplicated()
    for name in rows["name"][repeated]:
        report.reject(name, "duplicate row", path)
    rows = _without_copies(rows[~repeated], report)
    names = rows["name"].to_numpy(object)
    explain = ImageFolder(folder).explain
    good = check_image_files(folder, names, report, explain=explain)
    return rows, ImageFiles(folder, names[good]), good


def _without_copies(rows, report):
    """One row an image: a tenth of FER2013's test images are training images,
    too, and some are in a split twice."""
    copies = are_copies(rows["name"])
    report.notes["images with the pixels of an earlier one"] = int(copies.sum())
    return rows[~copies]


def _read_tables(paths, data_dir, split, report):
    for name, path in zip(SOURCES, paths, strict=True):
        if not os.path.isfile(path):
            raise ValueError(
                f"`data_dir` must hold {name}, from {SOURCES[name]}, or "
                f"{FOLDERS[split]}/label.csv. Received: {data_dir}"
            )
    table = _read_csv(paths[1], ["Usage", "Image name", *VOTE_COLUMNS])
    table = _check_votes(table, paths[1])
    table["name"] = table["Image name"].str.strip()
    check_numbers(table["name"], paths[1])
    table = table.join(_read_faces(paths, table["Usage"], USAGES[split]))

    rows = table[table["Usage"] == USAGES[split]]
    removed = rows["name"] == ""
    repeated = ~removed & rows["name"].duplicated()
    report.notes["images that FER+ removed"] = int(removed.sum())
    report.notes["second rows of an image"] = int(repeated.sum())
    rows = _without_copies(rows[~removed & ~repeated], report)
    bad = np.array([isinstance(each, str) for each in rows["pixels"]], bool)
    for name, problem in rows.loc[bad, ["name", "pixels"]].to_numpy():
        report.reject(name, "wrong pixels", problem)
    if bad.all():
        return rows, None, ~bad
    names, images = rows["name"][~bad], np.stack(rows["pixels"][~bad].to_list())
    check_pixels(names, images, paths)
    return rows, ImageArray(images, names), ~bad


def _read_faces(paths, usages, usage):
    """The class id, `original`, of every row, and the pixels of one usage.

    Checks that the rows are those of fer2013new.csv: nothing but their place
    says which votes are an image's.
    """
    path, votes_path = paths

    def parse(part):
        pixels = [
            _parse_pixels(text) if each.strip() == usage else None
            for text, each in zip(part["pixels"], part["Usage"], strict=True)
        ]
        return part.assign(pixels=pd.Series(pixels, part.index, object))

    table = _read_csv(path, ["emotion", "pixels", "Usage"], parse)
    class_ids = {
        str(number): EXPRESSIONS.index(name)
        for number, name in enumerate(FER2013_EXPRESSIONS)
    }
    table["original"] = table["emotion"].map(cell_text).map(class_ids)
    unknown = table.index[table["original"].isna()]
    if len(unknown):
        raise ValueError(
            f"{path}: emotion must be from 0 to 6. Received: "
            f"{one_line(table['emotion'][unknown[0]])!r} in row {unknown[0]}"
        )
    both = pd.DataFrame({"votes": usages, "faces": table["Usage"]}).dropna()
    others = both.index[both["votes"] != both["faces"]]
    received = f"{len(usages):,} and {len(table):,} rows"
    if len(others):
        first, second = map(one_line, both.loc[others[0]])
        received = f"Usage {first!r} and {second!r} in row {others[0]}"
    if len(others) or len(table) != len(usages):
        raise ValueError(
            f"{votes_path} must have the rows of {path}. Received: {received}"
        )
    return table[["pixels", "original"]]


def _parse_pixels(text):
    """An image, or what is wrong with its pixels."""
    try:
        with warnings.catch_warnings():
            # How NumPy before 2.3 tells of text that is no number.
            warnings.simplefilter("error", DeprecationWarning)
            values = np.fromstring(text, "int32", sep=" ")
    except (ValueError, DeprecationWarning):
        return "not all are integers"
    if len(values) != np.prod(IMAGE_SHAPE):
        return f"{len(values)} instead of {np.prod(IMAGE_SHAPE)}"
    if values.min() < 0 or values.max() > 255:
        return f"from {values.min()} to {values.max()}"
    return values.astype("uint8").reshape(IMAGE_SHAPE)


def _read_csv(path, columns=None, prepare=None):
    """A CSV file as a table, whose cells are text: without header, or of
    named columns, with or without spaces around the names, those given.

    `prepare` is a function of a part of the table that makes it smaller.
    """
    options = {"dtype": str, "keep_default_na": False, "chunksize": 1000}
    try:
        with open_rows(path) as file:
            if columns is None:
                return pd.concat(pd.read_csv(file, header=None, **options))
            parts = pd.read_csv(
                file, usecols=lambda name: name.strip() in columns, **options
            )
            prepared = []
            for part in parts:
                part.columns = names = [name.strip() for name in part]
                if sorted(names) != sorted(columns):
                    raise ValueError(
                        f"it must have the columns {', '.join(columns)}, each "
                        f"once; of these it has {', '.join(names) or 'none'}"
                    )
                prepared.append(prepare(part) if prepare else part)
            table = pd.concat(prepared)
    # Of pandas' own errors too.
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} could not be read: {one_line(error)}"
        ) from error
    return table.assign(Usage=table["Usage"].str.strip())
