"""Writes FER+'s two tables, of a dozen faces."""

import numpy as np

from keras_noisyfer.datasets.ferplus import VOTE_COLUMNS

NEUTRAL, HAPPY, SAD, SURPRISE, FEAR, DISGUST, ANGER = range(7)
MISSING = -1
# Usage, image name, votes in the order of FER+, FER2013's own id.
ROWS = [
    ("Training", "fer0000000.png", (4, 0, 0, 1, 3, 2, 0, 0, 0, 0), 0),
    ("Training", "fer0000001.png", (0, 9, 1, 0, 0, 0, 0, 0, 0, 0), 3),
    ("Training", "", (0, 0, 0, 0, 0, 0, 0, 0, 0, 10), 0),
    # Behind a removed image FER+ goes on counting.
    ("Training", "fer0000002.png", (0, 0, 8, 0, 0, 0, 2, 0, 0, 0), 5),
    ("Training", "fer0000003.png", (4, 0, 0, 4, 1, 0, 0, 0, 1, 0), 4),
    ("Training", "fer0000004.png", (0, 0, 0, 0, 1, 2, 3, 0, 3, 0), 2),
    ("Training", "fer0000005.png", (3, 0, 0, 0, 0, 0, 0, 6, 1, 0), 6),
    ("Training", "fer0000006.png", (0, 0, 0, 0, 0, 9, 0, 0, 0, 0), 1),
    ("Training", "fer0000001.png", (0, 9, 1, 0, 0, 0, 0, 0, 0, 0), 3),
    ("PublicTest", "fer0000007.png", (0, 0, 0, 7, 0, 0, 3, 0, 0, 0), 4),
    ("PublicTest", "fer0000008.png", (5, 5, 0, 0, 0, 0, 0, 0, 0, 0), 6),
    ("PrivateTest", "fer0000009.png", (0, 0, 0, 0, 6, 0, 0, 0, 4, 0), 0),
]
TRAIN = [0, 1, 3, 4, 5, 6, 7]
CLEAN = [NEUTRAL, HAPPY, SURPRISE, MISSING, FEAR, MISSING, DISGUST]


def face(row):
    generator = np.random.default_rng(row)
    return generator.integers(0, 256, (48, 48), "uint8")


def pixels(row):
    return " ".join(map(str, face(row).reshape(-1)))


def fer2013_lines(rows=ROWS):
    """As `fer2013.csv`: a header and a line an image."""
    lines = [
        f"{emotion},{pixels(row)},{usage}"
        for row, (usage, _, _, emotion) in enumerate(rows)
    ]
    return ["emotion,pixels,Usage", *lines]


def ferplus_lines(rows=ROWS):
    """As `fer2013new.csv`."""
    lines = [
        ",".join([usage, name, *map(str, votes)])
        for usage, name, votes, _ in rows
    ]
    return [",".join(["Usage", "Image name", *VOTE_COLUMNS]), *lines]


def write(path, lines, end="\n", start=""):
    path.write_bytes((start + end.join(lines) + end).encode())


def write_tables(folder, rows=ROWS, **options):
    write(folder / "fer2013.csv", fer2013_lines(rows), **options)
    write(folder / "fer2013new.csv", ferplus_lines(rows), **options)
    return folder
