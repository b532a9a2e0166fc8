"""Trains on your own images and a CSV file of their labels.

With --csv and --image-root alone the names of the columns say what they
hold: `image`, the path of an image relative to the image folder; `TASK` or
`TASK.ANNOTATOR`, its label by one annotator; `valence` and `arousal` together
are the continuous task `affect`; `clean.TASK` is a label that counts as the
truth. Or one label a row: `image`, `annotator`, `task` and `value`; the truth
is that of the annotator `clean`. For other names, with one image a row, give
--image-column, --categorical, --continuous and --clean. The classes are the
different cells, and printed; --classes names them, so that others are errors.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from keras_noisyfer.command_line.tables import (
    add_table_flags,
    load_table_data,
    table_options,
)
from keras_noisyfer.command_line.training import (
    parse_flags,
    run_recipe,
    train_and_report,
    training_parser,
)
from keras_noisyfer.datasets.augmentation import face_affine


def run(flags):
    train, test = load_table_data(table_options(flags), flags.seed)
    train_and_report(flags, train, test, face_affine)


def main(arguments=None):
    parser = training_parser(__doc__.splitlines()[0], "runs/your_csv")
    add_table_flags(parser)
    run_recipe(run, parse_flags(parser, arguments))


if __name__ == "__main__":
    main()
