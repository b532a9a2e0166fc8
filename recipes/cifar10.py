"""Trains one method on CIFAR-10 with three noisy label sets.

The paper's experiment, by default smaller: three annotators replace 20, 30
and 40 % of the training labels by one of the ten classes, the true one among
them. Follows the accuracy on the clean test images and writes the history,
the results and the trained model.
"""

import argparse
import os
import pathlib
import sys

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras

from keras_noisyfer import noise
from keras_noisyfer.arguments import number_flag
from keras_noisyfer.datasets.augmentation import crop_and_flip
from keras_noisyfer.datasets.cifar10 import CLASS_NAMES, load_cifar10
from keras_noisyfer.datasets.labelled_images import make_dataset
from keras_noisyfer.evaluation.experiment import METHODS, train_method
from keras_noisyfer.evaluation.results import prepare_output_dir, write_json
from keras_noisyfer.tasks import CategoricalTask

TASK = CategoricalTask("object", class_names=CLASS_NAMES, annotators=3)


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        usage="%(prog)s [flags]",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--data",
        metavar="FILE.npz",
        help="x_train, y_train, x_test and y_test in one file; downloaded "
        "where left out",
    )
    add("--method", choices=METHODS, default="proposed", help="what to train")
    add(
        "--width",
        type=number_flag(float, above=0),
        default=0.25,
        help="multiplier of all filters and hidden units",
    )
    add(
        "--train-size",
        type=number_flag(int, minimum=0),
        default=5000,
        help="the first so many training images; 0: all",
    )
    add(
        "--test-size",
        type=number_flag(int, minimum=0),
        default=0,
        help="the first so many test images; 0: all",
    )
    add(
        "--epochs",
        type=number_flag(int, minimum=1),
        default=20,
        help="number of epochs",
    )
    add(
        "--batch-size",
        type=number_flag(int, minimum=1),
        default=128,
        help="number of images a batch",
    )
    add(
        "--learning-rate",
        type=number_flag(float, above=0),
        default=1e-3,
        help="of Adam",
    )
    add(
        "--lambda-joint",
        type=number_flag(float, minimum=0),
        default=0.4,
        help="weight of the joint-distribution loss",
    )
    add(
        "--warmup-epochs",
        type=number_flag(int, minimum=0),
        default=5,
        help="first epochs of plain training, before that loss",
    )
    add(
        "--no-batch-normalization",
        action="store_true",
        help="leave batch normalisation out of the encoder, as the paper",
    )
    add(
        "--seed",
        type=number_flag(int, minimum=0, maximum=2**32 - 1),
        default=0,
        help="of label noise, initial weights, order and augmentation",
    )
    add(
        "--output-dir",
        default="runs/cifar10",
        help="folder of the results; those of an earlier run are replaced",
    )
    flags = parser.parse_args(arguments)
    if flags.method == "proposed" and flags.warmup_epochs >= flags.epochs:
        parser.error(
            "--warmup-epochs must be less than --epochs for the method "
            f"'proposed'. Received: {flags.warmup_epochs} of {flags.epochs}"
        )
    try:
        prepare_output_dir(flags.output_dir)
    except ValueError as error:
        parser.error(f"argument --output-dir: {error}")
    return flags


def run(flags):
    data = load_cifar10(
        flags.data, flags.train_size or None, flags.test_size or None
    )
    clean = {"object": data["y_train"]}
    noisy = {
        "object": noise.annotate(
            data["y_train"],
            noise.PAPER_ANNOTATORS,
            num_classes=TASK.num_classes,
            seed=flags.seed,
        )
    }
    realised = noise.realised_noise(noisy["object"], clean["object"])
    print(noise.format_realised_noise("object", realised))

    print(METHODS[flags.method], flush=True)
    output_dir = pathlib.Path(flags.output_dir)
    model, history = train_method(
        flags.method,
        [TASK],
        data["x_train"],
        noisy,
        make_dataset(
            data["x_test"], {"object": data["y_test"]}, [TASK], batch_size=256
        ),
        clean=clean,
        epochs=flags.epochs,
        batch_size=flags.batch_size,
        learning_rate=flags.learning_rate,
        augmentation=crop_and_flip,
        seed=flags.seed,
        callbacks=[keras.callbacks.CSVLogger(output_dir / "history.csv")],
        width=flags.width,
        batch_normalization=not flags.no_batch_normalization,
        lambda_joint=flags.lambda_joint,
        warmup_epochs=flags.warmup_epochs,
    )

    accuracy = history.history["val_object_accuracy"][-1]
    model.save(output_dir / "model.keras")
    settings = vars(flags).copy()
    write_json(
        output_dir / "results.json",
        {
            "method": settings.pop("method"),
            "seed": settings.pop("seed"),
            "settings": settings,
            "realised_noise": realised,
            "test_accuracy": accuracy,
            "history": history.history,
        },
    )
    print(
        f"Accuracy on {len(data['x_test']):,} clean test images after the "
        f"last epoch (nothing was chosen by it): {accuracy:.4f}"
    )
    print(f"History, results and model: {output_dir}")


def main(arguments=None):
    flags = parse_arguments(arguments)
    try:
        run(flags)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
