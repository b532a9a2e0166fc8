"""`noisyfer list`: what is registered."""

from keras_noisyfer.comparison import DATASETS, METHODS
from keras_noisyfer.results import format_table


def run(flags):
    for name, known in (("method", METHODS), ("data set", DATASETS)):
        rows = [{name: key, "title": each.title} for key, each in known.items()]
        print(f"{format_table(rows)}\n")
