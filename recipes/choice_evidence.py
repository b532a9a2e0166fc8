"""How good the choice by held-out noisy labels is, measured on clean ones.

Runs `compare` on data whose clean labels are known, with noise that fits its
theory (`--noise class`: it depends on the class alone), that does not
(`instance`: all annotators go wrong where a model does) or that comes with the
data (`given`), and keeps each comparison in a folder of its own: started
again, it goes on. With `--report` it only reads such folders, and
`results.json` files of the quickstart. Of each: the rank correlation
(Spearman) of the methods' noisy and clean scores, and the regret, in points of
clean accuracy lost against the best method, of the noisy choice and of always
taking one method. Each method counts after the epoch that its noisy labels
choose.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import pathlib

# It registers FER+'s labels of machines and people.
import experiments.ferplus_cases  # noqa: F401
import keras
import numpy as np
import pandas as pd

import keras_noisyfer as kn
from keras_noisyfer.comparison import (
    CROWD_ANNOTATORS,
    DATASETS,
    METHODS,
    read_cells,
    read_histories,
)
from keras_noisyfer.files import read_json
from keras_noisyfer.results import format_table
from keras_noisyfer.tasks import CategoricalTask
from noisyfer.flags import number_flag, recipe_parser, run_command

FIXED = ("vggnet", "proposed", "sce", "elr")


class _MeanPredictions(keras.callbacks.Callback):
    """The mean over the epochs of what a model holds each image for."""

    def __init__(self, batches):
        super().__init__()
        self.batches, self.epochs = batches, []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.model.predict(self.batches, verbose=0))

    def mean(self, name):
        return np.mean([each[name] for each in self.epochs], axis=0)


def find_hard_images(data, flags):
    """Class probabilities by task of a model on its way to clean labels."""
    task_names = [t.name for t in data.tasks if isinstance(t, CategoricalTask)]
    model, dataset, _ = kn.comparison.training.prepare_training(
        "vggnet-clean",
        data,
        shape_of(flags),
        batch_size=32,
        learning_rate=1e-3,
        seed=flags.seed,
        width=flags.width,
        batch_normalization=True,
        dropout=0.0,
    )
    seen = _MeanPredictions(data.batches(shape_of(flags), 256))
    model.fit(dataset, epochs=10, callbacks=[seen], verbose=0)
    return {name: seen.mean(name) for name in task_names}


def shape_of(flags):
    return (flags.image_size, flags.image_size, 3)


def draw(images, size):
    return images.split([min(size, len(images))])[0]


def load(flags):
    known = DATASETS[flags.data]
    where = {known.argument: flags.data_dir} if known.argument else {}
    sizes = {
        "image_size": flags.image_size,
        "train_size": flags.train_size,
        "validation_size": 0,
        "test_size": flags.test_size,
    }
    data, test = (
        draw(known.load(split, sizes, flags.seed, **where), size)
        for split, size in (
            ("train", flags.train_size),
            ("test", flags.test_size),
        )
    )
    if flags.noise == "given":
        return data, test.clean_labels()
    if flags.noise == "class":
        group = CROWD_ANNOTATORS["expression"]
        classes = dict.fromkeys(
            (t.name for t in data.tasks if isinstance(t, CategoricalTask)),
            group,
        )
    else:
        classes = {
            name: [
                kn.noise.InstanceDependentAnnotator(probabilities, rate)
                for rate in (
                    each.rate for each in CROWD_ANNOTATORS["expression"]
                )
            ]
            for name, probabilities in find_hard_images(data, flags).items()
        }
    annotators = {**CROWD_ANNOTATORS, **classes}
    names = [task.name for task in data.tasks]
    noisy = {name: annotators[name] for name in names}
    return data.with_noise(noisy, flags.seed), test.clean_labels()


def run_comparison(flags):
    data, test = load(flags)
    print(data.report)
    folder = pathlib.Path(
        flags.output_dir, f"{flags.data}_{flags.noise}_seed{flags.seed}"
    )
    ranking = kn.compare(
        data,
        epochs=flags.epochs,
        image_shape=shape_of(flags),
        learning_rate=2e-3,
        test=test,
        output_dir=folder,
        seed=flags.seed,
        report=lambda line: print(line, flush=True),
        width=flags.width,
        batch_normalization=True,
        dropout=0.0,
        lambda_joint=1.0,
        joint_every=4,
    )
    print(f"\n{ranking}\n")
    return folder


def read_quickstart(path):
    """A run's methods: their noisy and clean accuracy, and the choice."""
    content = read_json(path)
    rows = pd.DataFrame(content["results"]).set_index("method")
    rows = rows.rename(columns={"noisy accuracy": "noisy", "accuracy": "clean"})
    rows["by"] = rows["noisy"] + rows["noisy ccc"]
    yield "drawn faces", content["settings"]["seed"], rows


def read_ranking(folder):
    """Likewise, of a comparison's folder."""
    table = pd.read_csv(pathlib.Path(folder, "ranking.csv"))
    rows = table.set_index("title")
    task = next(
        each.removesuffix("_clean")
        for each in rows
        if each.endswith("_clean") and each != "affect_clean"
    )
    rows = rows.rename(columns={task: "noisy", f"{task}_clean": "clean"})
    rows["by"] = -rows["mean_rank"]
    name, _, seed = pathlib.Path(folder).name.rpartition("_seed")
    yield name.replace("_", ", "), int(seed), rows


def read_experiment(folder):
    """Likewise, of each setting and seed of an experiment's folder."""
    for setting, _ in read_cells(folder).groupby("setting", sort=False):
        histories = read_histories(folder, setting)
        tasks = [
            each.removeprefix("validation_")
            for each in histories
            if each.startswith("validation_") and each.endswith("_accuracy")
        ]
        if not tasks:
            # It is of values alone.
            continue
        task = tasks[0]
        for seed, group in histories.groupby("seed"):
            rows = group.loc[
                group.groupby("method")[f"validation_{task}"].idxmax()
            ].set_index("method")
            # Clean labels are no choice of anybody's.
            rows = rows.drop(index="vggnet-clean", errors="ignore")
            # An experiment's own methods are not known here.
            rows = rows.rename(
                index={key: each.title for key, each in METHODS.items()}
            )
            rows["noisy"] = rows["by"] = rows[f"validation_{task}"]
            rows["clean"] = rows[f"test_{task}"]
            # A choice between fewer tells nothing.
            if len(rows) > 3:
                yield f"{pathlib.Path(folder).name}, {setting}", seed, rows


def evidence(data, seed, rows):
    """A line of the table."""
    best = rows["clean"].max()
    chosen = rows["by"].idxmax()
    ranks = rows[["noisy", "clean"]].rank()
    line = {
        "data": data,
        "seed": seed,
        "methods": len(rows),
        "rank correlation": ranks["noisy"].corr(ranks["clean"]),
        "chosen": chosen,
        "regret": 100 * (best - rows.loc[chosen, "clean"]),
    }
    for key in FIXED:
        title = METHODS[key].title
        known = title in rows.index
        clean = rows.loc[title, "clean"] if known else float("nan")
        line[f"always {key}"] = 100 * (best - clean)
    return line


def run(flags):
    paths = flags.report or [run_comparison(flags)]
    lines = []
    for path in paths:
        path = pathlib.Path(path)
        if not path.is_dir():
            read = read_quickstart
        elif (path / "ranking.csv").exists():
            read = read_ranking
        else:
            read = read_experiment
        try:
            lines += [evidence(*each) for each in read(path)]
        except (KeyError, OSError, TypeError) as error:
            raise ValueError(
                f"{path} must be a results.json of the quickstart or the "
                f"folder of a comparison or experiment. Received: {error!r}"
            ) from error
    table = pd.DataFrame(lines)
    print(format_table(table.to_dict("records")))
    numbers = table.drop(columns=["seed", "methods", "chosen"])
    means = numbers.groupby("data", sort=False).mean().reset_index()
    worst = {"data": "all: largest", **numbers.drop(columns="data").max()}
    overall = {"data": "all: mean", **numbers.drop(columns="data").mean()}
    print()
    print(format_table([*means.to_dict("records"), overall, worst]))
    if flags.output:
        table.to_csv(flags.output, index=False, float_format="%.4f")


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    names = [each for each in DATASETS if each != "csv"]
    add("--data", choices=names, default="synthetic-faces", help="data set")
    add("--data-dir", metavar="PATH", help="where its files are")
    add("--noise", choices=("class", "instance", "given"), default="class")
    positive = number_flag(int, minimum=1)
    add("--train-size", type=positive, default=1100, help="noisy images")
    add("--test-size", type=positive, default=1000, help="clean images")
    add("--image-size", type=positive, default=32, help="in pixels")
    add("--epochs", type=positive, default=24)
    add("--width", type=number_flag(float, above=0), default=0.125)
    add("--seed", type=number_flag(int, minimum=0), default=0)
    add("--output-dir", default="runs/choice_evidence")
    add(
        "--report",
        nargs="+",
        metavar="FILE_OR_FOLDER",
        help="train nothing, read these",
    )
    add("--output", metavar="FILE.csv", help="the first table")
    run_command(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
