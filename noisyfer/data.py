"""The images and labels that flags name."""

import sys

import tensorflow_datasets as tfds

from keras_noisyfer.comparison import DATASETS
from keras_noisyfer.comparison.data import check_loader_options
from keras_noisyfer.comparison.table_data import load_table_data
from noisyfer.flags import UsageError, naming_flags

# What drawn data sets make, where the flags do not say.
DRAWN = {"train_size": 2000, "validation_size": 0, "test_size": 1000}

# What the flags of a table are called in Python.
TABLE_NAMES = {
    "path": "LABELS.csv",
    "image_root": "--image-dir",
    "columns": "--categorical and --continuous",
    "classes": "--classes",
    "tasks": "--classes",
    "where": "--where or --test-where",
    'on_error="skip"': "--on-error skip",
}


def find_dataset(flags):
    """The entry of `DATASETS` that flags name."""
    name = flags.data or "csv"
    if name not in DATASETS or flags.data == "csv":
        known = ", ".join(each for each in DATASETS if each != "csv")
        raise UsageError(f"--data must be one of {known}. Received: {name}")
    return DATASETS[name]


def find_augmentation(flags):
    """What changes the images in training, or None; see `--augment`."""
    return find_dataset(flags).augmentation if flags.augment else None


def load_data(flags):
    """`(train, test)`: `LabelledImages` with noisy labels, as many as the
    flags say, and ones with clean labels, or None. Prints what was read.

    Raises:
        UsageError: if there is no such data set, or it takes no such option.
        ValueError: if files are missing or wrong, or there are too few.
    """
    if not sys.stderr.isatty():
        # In a log each of its updates is a line.
        tfds.disable_progress_bar()
    known = find_dataset(flags)
    if flags.data is None:
        with naming_flags(**TABLE_NAMES):
            train, test = load_table_data(table_options(flags), flags.seed)
    else:
        options = dict(flags.data_option)
        if flags.data_dir is not None:
            options[known.argument or "data_dir"] = flags.data_dir
        sizes = {**DRAWN, "image_size": flags.image_size}
        sizes["train_size"] = flags.train_size or sizes["train_size"]
        try:
            check_loader_options(flags.data, options)
        except ValueError as error:
            raise UsageError(f"--data-dir or --data-option: {error}") from error
        train, test = (
            known.load(split, sizes, flags.seed, **options)
            for split in ("train", "test")
        )
        test = test.clean_labels()
    print(train.report)
    if flags.train_size > len(train):
        raise ValueError(
            f"--train-size must be at most {len(train)}, the images there "
            f"are. Received: {flags.train_size}"
        )
    if 0 < flags.train_size < len(train):
        (train,) = train.split([flags.train_size])
    return train, test


def table_options(flags):
    """The options of `load_table_data` in parsed flags, a dict."""
    names = "csv test_csv image_column categorical continuous clean classes"
    names = f"{names} where test_where on_error".split()
    return {
        **{name: getattr(flags, name) for name in names},
        "image_root": flags.image_dir,
        "test_image_root": flags.test_image_dir,
    }
