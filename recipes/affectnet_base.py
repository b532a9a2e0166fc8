"""Trains on AffectNet with the expressions of a RAF-DB model.

The paper's AffectNet-base: the expressions are those that a model of RAF-DB
gave to the training images of seven classes, valence and arousal AffectNet's
own; the test is AffectNet's validation split with people's labels. Prints
the realised noise, follows the test accuracy and writes results, pictures,
the model and its SavedModel.
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
from keras_noisyfer.datasets import face_affine, load_affectnet_base


def run(flags):
    options = face_options(flags)
    train = load_affectnet_base(flags.data_dir, "train", **options)
    test = load_affectnet_base(flags.data_dir, "validation", **options)
    train_and_report(flags, train, test, face_affine)


def main(arguments=None):
    parser = training_parser(
        __doc__.splitlines()[0],
        "runs/affectnet_base",
        # Of more than two thousand steps.
        warmup_epochs=1,
    )
    add_face_flags(parser, "RAFModel", "training_<machine>.csv")
    run_recipe(run, parse_flags(parser, arguments))


if __name__ == "__main__":
    main()
