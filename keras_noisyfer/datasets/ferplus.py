"""FER+: the faces of FER2013 with ten crowd votes each."""

import os
import warnings

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import check_number, one_line
from keras_noisyfer.datasets.exchange import CLEAN
from keras_noisyfer.datasets.faces.expressions import (
    expression_task,
    to_class_ids,
)
from keras_noisyfer.datasets.image_files import check_image_files
from keras_noisyfer.datasets.image_names import ImageFolder
from keras_noisyfer.datasets.image_sources import ImageArray, ImageFiles
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.long_table import from_long
from keras_noisyfer.datasets.pairing import check_numbers, check_pixels
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.synthetic_faces import SPLITS
from keras_noisyfer.datasets.table_cells import cell_text
from keras_noisyfer.files import open_rows
from keras_noisyfer.typing import PathLike

IMAGE_SHAPE = (48, 48, 1)
MISSING = -1
# Columns of votes, in the order of FER+, with the expressions they mean.
VOTE_EXPRESSIONS = {
    "neutral": "neutral",
    "happiness": "happy",
    "surprise": "surprise",
    "sadness": "sad",
    "anger": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "contempt": None,
    "unknown": None,
    "NF": None,
}
VOTE_COLUMNS = tuple(VOTE_EXPRESSIONS)
VOTES = 10
# The class ids of FER2013's own labels.
FER2013_EXPRESSIONS = {
    0: "anger",
    1: "disgust",
    2: "fear",
    3: "happy",
    4: "sad",
    5: "surprise",
    6: "neutral",
}
USAGES = {
    "train": "Training",
    "validation": "PublicTest",
    "test": "PrivateTest",
}
FOLDERS = {
    "train": "FER2013Train",
    "validation": "FER2013Valid",
    "test": "FER2013Test",
}
SOURCES = {
    "fer2013.csv": "https://www.kaggle.com/c/challenges-in-representation-"
    "learning-facial-expression-recognition-challenge/data",
    "fer2013new.csv": "https://github.com/microsoft/FERPlus",
}
# The same rows, as Kaggle has them in another file of the same page.
OTHER_SOURCE = "icml_face_data.csv"
_CLASS_IDS = to_class_ids(
    np.arange(VOTES), dict(enumerate(VOTE_EXPRESSIONS.values()))
)


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

    The clean label is the one of the seven expressions with the most votes;
    it is missing where two of them tie, or where contempt, unknown or NF has
    more votes. It comes from all ten votes, those that are drawn among them.
    The rule that FER+'s authors call majority is stricter: it drops columns
    with a single vote, then wants more than half of the votes left; and
    contempt is an eighth class there.

    Args:
        data_dir: Folder with `fer2013.csv` or `icml_face_data.csv` (Kaggle)
            and `fer2013new.csv` (FER+), or with the folders `FER2013Train`,
            `FER2013Valid` and `FER2013Test`, each with images and a
            `label.csv`, that FER+'s own script makes of them. Their published
            `label.csv` holds other votes than `fer2013new.csv` for one image
            in twenty. Nothing but their place pairs the rows of two tables:
            checked are their number, `Usage`, the order of the names and, by
            a checksum, that no image of FER2013 has the name of another. Of
            other pixels, two of one `Usage` may have changed places.
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
        FER+ removed, and second rows of an image, are left out and counted
        in the report's notes.

    Raises:
        ValueError: if a file is missing or has other contents, the two CSV
            files do not match, an argument is out of its range, or, as
            `on_error` says, an image cannot be used.

    Example:

    >>> train = load_ferplus("ferplus", annotators=3)
    >>> train.labels["expression"].shape
    (28558, 3)
    >>> dataset = train.batches((64, 64, 3), training=True)

    Reference:

    - [Barsoum et al., 2016](https://arxiv.org/abs/1608.01041)
    """
    if split not in SPLITS:
        raise ValueError(
            f"`split` must be one of {', '.join(SPLITS)}. Received: {split!r}"
        )
    check_number("annotators", annotators, minimum=1, integer=True)
    if annotators > VOTES:
        raise ValueError(
            f"`annotators` must be at most {VOTES}, the number of votes an "
            f"image. Received: {annotators}"
        )
    check_number("seed", seed, minimum=0, integer=True)
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

    votes = rows[list(VOTE_COLUMNS)].to_numpy("int32")
    # Before bad images are left out: the others keep their votes.
    drawn = _draw_votes(votes, annotators, [seed, SPLITS.index(split)])
    labels = pd.DataFrame(drawn).rename(columns=lambda n: f"vote {n + 1}")
    if original_label:
        labels["FER2013"] = rows["original"].to_numpy()
    who = list(labels)
    labels[CLEAN] = _plurality(votes)
    table = labels[good].reset_index(drop=True).rename_axis("image")
    table = table.melt(var_name="annotator", ignore_index=False).reset_index()
    table = table.assign(task="expression", clean=table["annotator"] == CLEAN)
    data = from_long(
        table[table["value"] != MISSING],
        images,
        [expression_task()],
        report,
        {"expression": who},
        ["expression"],
        extras={"votes": votes[good]},
    )
    if split == "train":
        return data
    return data.with_labels(data.clean, data.tasks)


def _draw_votes(votes, annotators, seed):
    """Class ids of some votes an image, int32 `(n, annotators)`."""
    given = votes.sum(axis=1, keepdims=True)
    # A row an image: one entry a vote, then missing ones.
    place = np.arange(max(VOTES, given.max(initial=0)))
    is_vote = place < given
    ballots = np.full(is_vote.shape, MISSING, "int32")
    ballots[is_vote] = np.repeat(
        np.tile(_CLASS_IDS, len(votes)), votes.reshape(-1)
    )
    turn = np.random.default_rng(seed).random(ballots.shape)
    order = np.argsort(np.where(is_vote, turn, np.inf), axis=1)
    return np.take_along_axis(ballots, order[:, :annotators], axis=1)


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
    votes = table[list(VOTE_COLUMNS)]
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
    rows = _read_csv(path, header=None)
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
    rows = rows[~repeated]
    names = rows["name"].to_numpy(object)
    explain = ImageFolder(folder).explain
    good = check_image_files(folder, names, report, explain=explain)
    return rows, ImageFiles(folder, names[good]), good


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
    faces = _read_faces(paths, table["Usage"])

    in_split = table["Usage"] == USAGES[split]
    removed = in_split & (table["name"] == "")
    repeated = in_split & ~removed & table["name"].duplicated()
    report.notes["images that FER+ removed"] = int(removed.sum())
    report.notes["second rows of an image"] = int(repeated.sum())
    rows = table.join(faces)[in_split & ~removed & ~repeated]
    pixels = np.zeros((len(rows), *IMAGE_SHAPE), "uint8")
    good = np.ones(len(rows), bool)
    texts = zip(rows["name"], rows["pixels"], strict=True)
    for index, (name, text) in enumerate(texts):
        image, problem = _parse_pixels(text)
        if problem:
            good[index] = False
            report.reject(name, "wrong pixels", problem)
        else:
            pixels[index] = image
    names = rows["name"][good]
    if len(names):
        pixels = pixels[good]
        check_pixels(names, pixels, paths)
        pixels = ImageArray(pixels, names)
    return rows, pixels, good


def _read_faces(paths, usages):
    """The pixels and the class id, `original`, of every row.

    Checks that the rows are those of fer2013new.csv: nothing but their place
    says which votes are an image's.
    """
    path, votes_path = paths
    table = _read_csv(path, ["emotion", "pixels", "Usage"])
    class_ids = to_class_ids(list(FER2013_EXPRESSIONS), FER2013_EXPRESSIONS)
    expressions = zip(map(str, FER2013_EXPRESSIONS), class_ids, strict=True)
    table["original"] = table["emotion"].map(cell_text).map(dict(expressions))
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
    """The image and None, or None and what is wrong with its pixels."""
    try:
        with warnings.catch_warnings():
            # How NumPy before 2.3 tells of text that is no number.
            warnings.simplefilter("error", DeprecationWarning)
            values = np.fromstring(text, "int32", sep=" ")
    except (ValueError, DeprecationWarning):
        return None, "not all are integers"
    if len(values) != np.prod(IMAGE_SHAPE):
        return None, f"{len(values)} instead of {np.prod(IMAGE_SHAPE)}"
    if values.min() < 0 or values.max() > 255:
        return None, f"from {values.min()} to {values.max()}"
    return values.reshape(IMAGE_SHAPE), None


def _read_csv(path, columns=None, **options):
    """A CSV file as a table, whose cells are text; of named columns, with or
    without spaces around the names, those given."""
    if columns is not None:
        options["usecols"] = lambda name: name.strip() in columns
    try:
        with open_rows(path) as file:
            table = pd.read_csv(
                file, dtype=str, keep_default_na=False, **options
            )
        if columns is None:
            return table
        names = [name.strip() for name in table]
        if sorted(names) != sorted(columns):
            raise ValueError(
                f"it must have the columns {', '.join(columns)}, each once; "
                f"of these it has {', '.join(names) or 'none'}"
            )
    # Of pandas' own errors too.
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} could not be read: {one_line(error)}"
        ) from error
    table = table.set_axis(names, axis=1)
    return table.assign(Usage=table["Usage"].str.strip())
