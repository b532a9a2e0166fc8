"""Trains one method on CIFAR-10 with three noisy label sets.

The paper's experiment, by default smaller: three annotators replace 20, 30
and 40 % of the training labels by one of the ten classes, the true one among
them. Follows the accuracy on the clean test images and writes the history,
the results and the trained model.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from keras_noisyfer.command_line.training import (
    parse_flags,
    run_recipe,
    train_and_report,
    training_parser,
)
from keras_noisyfer.datasets import crop_and_flip, load_cifar10


def run(flags):
    train = load_cifar10(
        flags.data, "train", flags.train_size or None, seed=flags.seed
    )
    test = load_cifar10(flags.data, "test", flags.test_size or None)
    train_and_report(flags, train, test, crop_and_flip, faces=False)


def main(arguments=None):
    parser = training_parser(
        __doc__.splitlines()[0],
        "runs/cifar10",
        image_size=32,
        train_size=5000,
    )
    parser.add_argument(
        "--data",
        metavar="FILE.npz",
        help="x_train, y_train, x_test and y_test in one file; downloaded "
        "where left out",
    )
    run_recipe(run, parse_flags(parser, arguments))


if __name__ == "__main__":
    main()
