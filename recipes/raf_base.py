"""Trains on RAF-DB with the expressions and affect of AffectNet models.

The paper's RAF-base: the labels are those that models of AffectNet gave to
the training images; people's expressions are for the test alone. Prints the
realised noise, follows the test accuracy and writes results, pictures, the
model and its SavedModel.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from keras_noisyfer.command_line.training import (
    add_face_flags,
    face_options,
    parse_flags,
    run_recipe,
    train_and_report,
    training_parser,
)
from keras_noisyfer.datasets import face_affine, load_raf_base


def run(flags):
    options = face_options(flags)
    train = load_raf_base(flags.data_dir, "train", **options)
    test = load_raf_base(flags.data_dir, "test", **options)
    train_and_report(flags, train, test, face_affine)


def main(arguments=None):
    parser = training_parser(
        __doc__.splitlines()[0], "runs/raf_base", lambda_joint=1.0
    )
    files = "list_label_<machine>.txt and list_va_<machine>.txt"
    add_face_flags(parser, "AffectnetModel", files)
    run_recipe(run, parse_flags(parser, arguments))


if __name__ == "__main__":
    main()
