"""A data set of one's own in one file: shapes, and what a crowd calls them.

On disk: `images`, and `votes.txt` with lines such as
`a.png ann=round,small bob=square,?`.
"""

import pathlib

import pandas as pd

from keras_noisyfer.comparison.data import dataset
from keras_noisyfer.datasets.table import from_dataframe
from keras_noisyfer.tasks import CategoricalTask

TASKS = [
    CategoricalTask("shape", class_names=("round", "square")),
    CategoricalTask("size", class_names=("small", "large")),
]


def load_shapes(data_dir, **options):
    """The long table of the votes; `truth` is who counts as the truth."""
    folder = pathlib.Path(data_dir)
    rows = []
    for line in (folder / "votes.txt").read_text().splitlines():
        image, *votes = line.split()
        for vote in votes:
            who, _, said = vote.partition("=")
            for task, value in zip(TASKS, said.split(","), strict=True):
                # No label where someone was not sure.
                value = value.replace("?", "")
                rows.append((image, task.name, who, value))
    names = ["image", "task", "annotator", "value"]
    table = pd.DataFrame(rows, columns=names)
    columns = {name: name for name in names} | {"clean": "truth"}
    return from_dataframe(table, folder / "images", TASKS, columns, **options)


@dataset("shapes", "Shapes", argument="data_dir")
def _shapes(split, profile, seed, data_dir):
    data = load_shapes(data_dir, seed=seed)
    train, test = data.split([len(data) * 3 // 4, len(data) // 4])
    return train if split == "train" else test
