"""Tiny data sets in the layouts of RAF-DB and AffectNet, and their images.

Every image is of one grey, `grey(name)`, which tells which one it is.
"""

import csv
import pathlib
import re

import numpy as np
from PIL import Image

from keras_noisyfer.datasets.image_files import UnusableImage
from keras_noisyfer.datasets.synthetic_faces import EXPRESSIONS

SIZE = 60
LEFT_EYE, RIGHT_EYE = (20.0, 20.0), (40.0, 20.0)
EYES_OF_IMAGES = (LEFT_EYE, RIGHT_EYE)
# Ids in the files of the data sets.
RAF_IDS = {
    "surprise": 1,
    "fear": 2,
    "disgust": 3,
    "happy": 4,
    "sad": 5,
    "anger": 6,
    "neutral": 7,
}
AFFECTNET_COLUMNS = [
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
]


def grey(name):
    """The grey of an image, by the number in its name and by its split."""
    number = int(re.findall(r"\d+", pathlib.PurePosixPath(name).name)[0])
    return 16 * number + 30 + 8 * ("test" in name or "val" in name)


def write_image(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIZE, SIZE), (level,) * 3).save(path)


def refusal(function, *arguments, **options):
    """The problem and the detail that an image is refused for, or None."""
    try:
        function(*arguments, **options)
    except UnusableImage as error:
        return error.problem, error.detail
    return None


def write_lines(path, lines, newline="\n", bom=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = "utf-8-sig" if bom else "utf-8"
    path.write_text("".join(f"{x}{newline}" for x in lines), encoding)


def middles(data, size=64):
    """The middle grey of each image, in order."""
    dataset = data.batches((size, size, 3), batch_size=100)
    images = np.concatenate([images for images, _ in dataset])
    return (images[:, size // 2, size // 2].mean(axis=-1) + 1) * 127.5


def assert_images_belong_to_names(data, prefix=""):
    levels = [grey(prefix + name) for name in data.names]
    # JPEG is off by some grey.
    np.testing.assert_allclose(middles(data), levels, atol=3)


def class_ids(names, expressions):
    """Class ids in the library's order of expressions by name."""
    return [EXPRESSIONS.index(expressions[name]) for name in names]


# === RAF-DB ===


def raf_labels(train=8, test=4):
    """Dict by name of the expression's name: each in turn."""
    names = [f"train_{i + 1:05}.jpg" for i in range(train)]
    names += [f"test_{i + 1:04}.jpg" for i in range(test)]
    return {name: [*RAF_IDS][i % 7] for i, name in enumerate(names)}


def raf_machine(labels):
    """The machine labels: expressions one off, affect by the number.

    The first one is out of [-1, 1].
    """
    wrong = {name: [*RAF_IDS][(i + 3) % 7] for i, name in enumerate(labels)}
    affect = {n: (i / 8 - 0.5, 1.25 - i / 4) for i, n in enumerate(labels)}
    return wrong, affect


def write_raf(
    root, train=8, test=4, images="imgs", newline="\n", bom=False, machine=True
):
    """Writes RAF-DB's folder `basic` with the given root.

    Args:
        root: What is to be `basic`.
        train: Number of training images, at least 1.
        test: Number of test images, at least 1.
        images: Folder within `Image/original` and `Image/aligned`.
        newline: End of the lines of label lists.
        bom: Whether label lists begin with a byte order mark.
        machine: Whether to write the machine labels, in `noisy_labels`.

    Returns:
        Dict by name of the expressions' names.
    """
    root = pathlib.Path(root)
    labels = raf_labels(train, test)
    for name in labels:
        stem = name.removesuffix(".jpg")
        folder = root / "Image"
        write_image(folder / "original" / images / name, grey(name))
        write_image(
            folder / "aligned" / images / f"{stem}_aligned.jpg", grey(name)
        )
        points = [LEFT_EYE, RIGHT_EYE, (30, 30), (24, 40), (36, 40)]
        lines = [f"{x:8.3f}\t{y:8.3f}" for x, y in points] + ["0", "1", "2"]
        write_lines(
            root / "Annotation" / "manual" / f"{stem}_manu_attri.txt", lines
        )
    write_lines(
        root / "EmoLabel" / "list_patition_label.txt",
        [f"{name} {RAF_IDS[label]}" for name, label in labels.items()],
        newline,
        bom,
    )
    if machine:
        write_raf_machine(root / "noisy_labels", labels, newline, bom)
    return labels


def write_raf_machine(folder, labels, newline="\n", bom=False):
    """Writes the two lists of machine labels, in another order."""
    wrong, affect = raf_machine(labels)
    order = sorted(labels, reverse=True)
    write_lines(
        folder / "list_label_AffectnetModel.txt",
        [f"{name} {RAF_IDS[wrong[name]]}" for name in order],
        newline,
        bom,
    )
    write_lines(
        folder / "list_va_AffectnetModel.txt",
        [f"{name} {affect[name][0]} {affect[name][1]}" for name in order[::-1]],
        newline,
        bom,
    )


# === AffectNet ===


def landmarks():
    """68 points of x and y, the eyes where they are."""
    points = np.full((68, 2), 30.0)
    ring = np.array([(-3, 0), (-1, -1), (1, -1), (3, 0), (1, 1), (-1, 1)])
    points[36:42] = np.add(LEFT_EYE, ring)
    points[42:48] = np.add(RIGHT_EYE, ring)
    return points


def affectnet_rows(kind, count):
    """Rows of a table: the expression ids 0 to 10 in turn."""
    text = ";".join(map(str, landmarks().ravel()))
    rows = []
    for number in range(count):
        expression = number % 11
        affect = (-2, -2) if expression > 8 else (number / 16 - 0.5, 0.25)
        name = f"{100 + number % 3}/{kind}{number}x.jpg"
        # The face's box is not the whole image.
        rows.append([name, 5, 5, 50, 50, text, expression, *affect])
    return rows


def write_table(path, rows, header=True, newline="\n", bom=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = "utf-8-sig" if bom else "utf-8"
    with open(path, "w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, lineterminator=newline)
        writer.writerows([AFFECTNET_COLUMNS] * header + rows)


def machine_rows(rows):
    """Rows of the seven expressions, each taken for the next, reversed."""
    return [
        [*row[:6], (row[6] + 1) % 7, *row[7:]]
        for row in rows[::-1]
        if row[6] < 7
    ]


def write_affectnet(
    root,
    train=13,
    validation=8,
    flat=False,
    table_folder="",
    image_folder="Manually_Annotated_Images",
    validation_name="validation.csv",
    validation_header=True,
    newline="\n",
    bom=False,
    machine=True,
):
    """Writes AffectNet with its two tables and the machine's table.

    Args:
        root: The data set's folder.
        train: Number of training images.
        validation: Number of validation images.
        flat: Whether images lie in one folder.
        table_folder: Folder of the tables.
        image_folder: Folder of the images.
        validation_name: Name of the validation table.
        validation_header: Whether that has a header.
        newline: End of the tables' lines.
        bom: Whether tables begin with a byte order mark.
        machine: Whether to write `training_RAFModel.csv`.

    Returns:
        Dict by split of the tables' rows.
    """
    root = pathlib.Path(root)
    rows = {
        "train": affectnet_rows("face", train),
        "validation": affectnet_rows("val", validation),
    }
    for row in rows["train"] + rows["validation"]:
        name = pathlib.PurePosixPath(row[0]).name if flat else row[0]
        write_image(root / image_folder / name, grey(name))
    folder = root / table_folder
    write_table(folder / "training.csv", rows["train"], True, newline, bom)
    write_table(
        folder / validation_name,
        rows["validation"],
        validation_header,
        newline,
        bom,
    )
    if machine:
        write_table(
            root / "training_RAFModel.csv",
            machine_rows(rows["train"]),
            True,
            newline,
            bom,
        )
    return rows


def write_affectnet_sets(root, train=13, validation=8, text=True):
    """Writes AffectNet in the repackaged form.

    Args:
        root: The data set's folder.
        train: Number of training images.
        validation: Number of validation images.
        text: Whether the numbers are strings.

    Returns:
        Dict by split of rows as of `write_affectnet`, named `0.jpg`, ...
    """
    rows = {}
    for split, folder, count in (
        ("train", "train_set", train),
        ("validation", "val_set", validation),
    ):
        rows[split] = affectnet_rows("", count)
        annotations = pathlib.Path(root, folder, "annotations")
        annotations.mkdir(parents=True)
        for number, row in enumerate(rows[split]):
            row[0] = f"{number}.jpg"
            level = grey(f"{folder[:3]}{number}")
            write_image(pathlib.Path(root, folder, "images", row[0]), level)
            for kind, value in zip(("exp", "val", "aro"), row[6:], strict=True):
                array = np.array(str(value) if text else value)
                np.save(annotations / f"{number}_{kind}.npy", array)
            np.save(annotations / f"{number}_lnd.npy", landmarks().ravel())
    return rows
