"""How long an epoch of CIFAR-10 takes, from arrays, without `tf.data`.

Flips the labels as the paper does, trains the joint-distribution GAN, and
prints the seconds of each epoch; the first has the compilation in it. The
accuracy on the test images after the last epoch says that it learns, no more.
"""

import argparse
import json
import pathlib

import keras
import numpy as np
from train_step import EpochTimes, environment, make_tasks

from keras_noisyfer import Encoder, FusedAdam, JointDistributionGAN, noise
from keras_noisyfer.results import write_json


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("data", type=pathlib.Path, help="CIFAR-10 as an .npz file")
    add("--train-size", type=int, default=50_000)
    add("--width", type=float, default=1.0)
    add("--batch-size", type=int, default=128)
    add("--dtype", default="float32")
    add("--epochs", type=int, default=3)
    add("--seed", type=int, default=0)
    add("--output", type=pathlib.Path, help="JSON file")
    flags = parser.parse_args()
    with np.load(flags.data, allow_pickle=False) as file:
        arrays = dict(file)

    keras.utils.set_random_seed(flags.seed)
    count = flags.train_size - flags.train_size % flags.batch_size
    images = arrays["x_train"][:count].astype("float32") / 127.5 - 1
    labels = noise.annotate(
        arrays["y_train"][:count].reshape(-1),
        noise.PAPER_ANNOTATORS,
        num_classes=10,
        seed=np.random.default_rng(flags.seed),
    )
    tasks, size = make_tasks("cifar10")
    encoder = Encoder(
        tasks,
        (size, size, 3),
        width=flags.width,
        batch_normalization=True,
        dtype=flags.dtype,
    )
    model = JointDistributionGAN(encoder, seed=flags.seed, dtype=flags.dtype)
    model.compile(FusedAdam(1e-3))
    times = EpochTimes()
    history = model.fit(
        images,
        {"object": labels},
        batch_size=flags.batch_size,
        epochs=flags.epochs,
        callbacks=[times],
        verbose=2,
    ).history
    test = arrays["x_test"][: flags.train_size].astype("float32") / 127.5 - 1
    predicted = model.predict(test, batch_size=flags.batch_size, verbose=0)
    truth = arrays["y_test"][: flags.train_size].reshape(-1)
    accuracy = np.mean(predicted["object"].argmax(axis=1) == truth)
    results = {
        "images": count,
        "width": flags.width,
        "batch_size": flags.batch_size,
        "dtype": flags.dtype,
        "seed": flags.seed,
        "epoch_seconds": times.seconds,
        "images_per_second": count / min(times.seconds),
        "loss": [float(each) for each in history["loss"]],
        "test_accuracy_last_epoch": float(accuracy),
        "environment": environment(),
    }
    print(json.dumps(results, indent=1))
    if flags.output:
        write_json(flags.output, results)


if __name__ == "__main__":
    main()
