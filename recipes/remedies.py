"""Compares remedies, alone and together, on the quickstart's faces.

Trains the same encoder on the same noisy labels with each of `REMEDIES`, over
several seeds, and prints the last epoch's metrics on the clean test faces and
the time of an epoch beside plain training's. A row is written as each ends,
and what its decoder draws; a comparison that was stopped goes on where it was.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# The operations of so narrow networks are too small to be split.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import time

import keras
import numpy as np
import pandas as pd
from quickstart import REPORTED, SETTINGS, TASKS, make_data, make_test_data

from keras_noisyfer.datasets import AFFECT, EXPRESSIONS
from keras_noisyfer.losses import SparseSymmetricCrossentropy
from keras_noisyfer.mixup import Mixup
from keras_noisyfer.models import JointDistributionGAN, MultiTaskModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.plots import plot_image_grid
from keras_noisyfer.regularizers import EarlyLearning
from keras_noisyfer.results import (
    format_table,
    keep_settings,
    prepare_output_dir,
)
from noisyfer.flags import number_flag, recipe_parser, run_command

GAN = {"joint": True}
# Arguments of the model; `joint`, `loss` and `use_ema` are not of them.
REMEDIES = {
    "plain": {},
    **{f"joint, every {k}": {**GAN, "joint_every": k} for k in (1, 2, 4, 8)},
    "symmetric cross entropy": {"loss": True},
    "early learning": {"early": True},
    "mixup": {"mixup": 0.4},
    "averages": {"use_ema": True},
    "joint, mixup": {**GAN, "mixup": 0.4},
    "joint, averages": {**GAN, "use_ema": True},
    "joint, ramp": {**GAN, "ramp_epochs": 9},
    "joint, reconstruction": {**GAN, "reconstruction_weight": 10.0},
    "joint, early learning": {**GAN, "early": True},
}


class EpochTimes(keras.callbacks.Callback):
    """Notes the seconds of each epoch's training."""

    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self._begin = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.seconds.append(time.perf_counter() - self._begin)


def train(flags, seed, name):
    """Trains once: the model, and the row of a table."""
    data, test, _ = make_data(flags.train_size, seed)
    keras.utils.set_random_seed(seed)
    batches = data.batches(
        batch_size=SETTINGS["batch_size"],
        training=True,
        seed=seed,
        with_index=True,
    )
    encoder = Encoder(
        TASKS,
        tuple(batches.element_spec[0]["image"].shape[1:]),
        width=flags.width,
        batch_normalization=True,
        dropout=0.0,
    )
    model, averages, loss = make_model(encoder, len(data), flags.epochs, name)
    schedule = keras.optimizers.schedules.CosineDecay(
        SETTINGS["learning_rate"], len(batches) * flags.epochs, alpha=0.02
    )
    optimizers = [FusedAdam(schedule, **averages)]
    if isinstance(model, JointDistributionGAN):
        rate = SETTINGS["discriminator_learning_rate"]
        optimizers.append(FusedAdam(rate, **averages))
    model.compile(*optimizers, loss=loss)
    times, begin = EpochTimes(), time.perf_counter()
    history = model.fit(
        batches,
        epochs=flags.epochs,
        validation_data=make_test_data(test),
        callbacks=[times],
        verbose=0,
    ).history
    last = {each: history[key][-1] for each, key in REPORTED.items()}
    return model, {
        "remedy": name,
        "seed": seed,
        **last,
        "seconds": time.perf_counter() - begin,
        # Of the second half, which no warm-up and no tracing is in.
        "epoch_seconds": np.median(times.seconds[flags.epochs // 2 :]),
    }


def make_model(encoder, num_images, epochs, name):
    """The model, and what its optimizers and `compile` are given."""
    options = dict(REMEDIES[name])
    averages = {"use_ema": options.pop("use_ema", False)}
    loss = {"expression": SparseSymmetricCrossentropy()}
    loss = loss if options.pop("loss", False) else None
    if options.pop("early", False):
        options["regularizers"] = [EarlyLearning(num_images)]
    if "mixup" in options:
        options["mixup"] = Mixup(options["mixup"], seed=0)
    if not options.pop("joint", False):
        return MultiTaskModel(encoder, **options), averages, loss
    options = {
        "lambda_joint": SETTINGS["lambda_joint"],
        "warmup_epochs": epochs // 4,
        "seed": 0,
        **options,
    }
    return JointDistributionGAN(encoder, **options), averages, loss


def run(flags):
    output = prepare_output_dir(flags.output_dir)
    names = ("epochs", "train_size", "width")
    settings = {name: getattr(flags, name) for name in names}
    keep_settings(output, {"settings": settings})
    path = output / "runs.csv"
    for seed in dict.fromkeys(flags.seeds):
        for name in flags.remedies:
            rows = pd.read_csv(path) if path.exists() else pd.DataFrame()
            if any(
                (row.remedy, row.seed) == (name, seed)
                for row in rows.itertuples()
            ):
                continue
            print(f"{name}, seed {seed}", flush=True)
            model, row = train(flags, seed, name)
            row = pd.DataFrame([row])
            pd.concat([rows, row]).to_csv(path, index=False)
            if isinstance(model, JointDistributionGAN):
                draw(model, output / f"{name}, seed {seed}.png")
    print(f"\nClean test faces, last epoch of {flags.epochs}, no selection:\n")
    print(format_table(summarise(pd.read_csv(path))))


def draw(model, path):
    """Writes a grid of decoded faces: five of each expression."""
    classes = np.arange(len(EXPRESSIONS), dtype="int32")
    labels = {
        "expression": np.tile(classes, 5),
        "affect": np.tile(AFFECT, (5, 1)),
    }
    images = model.generate(labels, seed=0)
    grid = images.reshape(5, len(classes), *images.shape[1:])
    plot_image_grid(grid, EXPRESSIONS).savefig(path, dpi=80)


def summarise(rows):
    """Means and standard deviations over the seeds, by remedy."""
    plain = rows[rows.remedy == "plain"]
    table = []
    for remedy, group in rows.groupby("remedy", sort=False):
        row = {"remedy": remedy, "seeds": len(group)}
        for each in ("accuracy", "ccc"):
            row[each] = f"{group[each].mean():.3f}"
            if len(group) > 1:
                row[each] += f" ± {group[each].std():.3f}"
        # Of the whole run and of an epoch, beside plain training.
        for name, column in (
            ("run's cost", "seconds"),
            ("epoch's cost", "epoch_seconds"),
        ):
            cost = group[column].mean() / plain[column].mean()
            row[name] = f"{cost:.2f}"
        table.append(row)
    return table


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    seed = number_flag(int, minimum=0, maximum=2**31 - 1)
    add("--seeds", nargs="+", type=seed, default=[0, 1, 2])
    add("--remedies", nargs="+", choices=REMEDIES, default=list(REMEDIES))
    add("--epochs", type=number_flag(int, minimum=1), default=36)
    add("--train-size", type=number_flag(int, minimum=2), default=900)
    add("--width", type=number_flag(float, above=0), default=0.125)
    add("--output-dir", default="runs/remedies")
    run_command(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
