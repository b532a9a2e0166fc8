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

from keras_noisyfer.datasets.augmentation import face_affine
from keras_noisyfer.datasets.report import ON_ERROR
from keras_noisyfer.datasets.tables.loaders import from_csv
from keras_noisyfer.datasets.tables.table_tasks import (
    columns_of_flags,
    infer_tasks,
)
from keras_noisyfer.evaluation.training_run import (
    parse_flags,
    run_recipe,
    train_and_report,
    training_parser,
)


def run(flags):
    columns = columns_of_flags(
        flags.image_column, flags.categorical, flags.continuous, flags.clean
    )
    where, test_where = dict(flags.where), dict(flags.test_where)
    ignored = [*where, *test_where]
    classes = {task: names.split(",") for task, names in flags.classes}
    tasks, columns = infer_tasks(flags.csv, columns, ignored, classes)
    train = from_csv(
        flags.csv,
        flags.image_root,
        tasks,
        columns,
        where=where,
        on_error=flags.on_error,
        seed=flags.seed,
    )
    test = None
    if flags.test_csv or test_where:
        test = from_csv(
            flags.test_csv or flags.csv,
            flags.test_image_root or flags.image_root,
            tasks,
            columns,
            where=test_where,
            on_error=flags.on_error,
        )
        test = test.clean_labels()
    train_and_report(flags, train, test, face_affine)


def pair(text):
    """`NAME=VALUE` of a flag."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise ValueError
    return name, value


pair.__name__ = "NAME=VALUE"


def main(arguments=None):
    parser = training_parser(__doc__.splitlines()[0], "runs/your_csv")
    add = parser.add_argument
    add("--csv", required=True, metavar="FILE", help="labels")
    add("--image-root", required=True, metavar="DIR", help="folder of images")
    add("--test-csv", metavar="FILE", help="labels of test images")
    add("--test-image-root", metavar="DIR", help="folder of test images")
    add("--image-column", default="image", metavar="COLUMN")
    several = {"action": "append", "type": pair, "default": []}
    add(
        "--categorical",
        **several,
        metavar="TASK=COLUMN,COLUMN",
        help="a categorical task, a column an annotator; may be repeated",
    )
    add(
        "--continuous",
        **several,
        metavar="TASK=COLUMN+COLUMN,COLUMN+COLUMN",
        help="a continuous task: its dimensions' columns, for each annotator",
    )
    add(
        "--clean",
        **several,
        metavar="TASK=COLUMN",
        help="labels that count as the truth; those of a continuous task "
        "COLUMN+COLUMN",
    )
    add(
        "--classes",
        **several,
        metavar="TASK=NAME,NAME",
        help="the classes of a categorical task, in their order",
    )
    add(
        "--where",
        **several,
        metavar="COLUMN=TEXT",
        help="train on the rows that hold it, such as split=train",
    )
    add(
        "--test-where",
        **several,
        metavar="COLUMN=TEXT",
        help="test on the rows that hold it",
    )
    add("--on-error", choices=ON_ERROR, default="raise", help="bad rows")
    run_recipe(run, parse_flags(parser, arguments))


if __name__ == "__main__":
    main()
