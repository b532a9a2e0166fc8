"""`noisyfer list`: what is registered."""

from keras_noisyfer.comparison import DATASETS, METHODS
from keras_noisyfer.results import format_table


def run(flags):
    for name, known in (("method", METHODS), ("data set", DATASETS)):
        rows = [
            {name: key, "title": each.title}
            for key, each in known.items()
            # A table of one's own is no --data.
            if key != "csv"
        ]
        print(f"{format_table(rows)}\n")
