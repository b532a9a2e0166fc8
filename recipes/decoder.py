"""Trains a decoder that draws the labels it is asked for, and measures it.

The GAN on noisy labels, with the decoder's terms: reconstruction, divergence
of the noise code, auxiliary classifier. A judge, a classifier of its own that
is trained on clean labels and that training knows nothing of, is shown faces
decoded for the clean labels of test faces: which expression does it see, which
valence and arousal? Stopped and started again, it goes on where it was.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# The operations of so narrow networks are too small to be split.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras
import numpy as np
from experiments import ferplus_cases  # noqa: F401
from keras import layers

import keras_noisyfer as kn
from keras_noisyfer.comparison import evaluate, load_case
from keras_noisyfer.noise import majority_vote
from keras_noisyfer.plots import plot_image_grid
from keras_noisyfer.results import (
    keep_settings,
    prepare_output_dir,
    write_json,
)
from keras_noisyfer.serving import export_decoder
from noisyfer.flags import number_flag, recipe_parser, run_command

NOISE_CODE_SIZE = 32
BATCH_SIZE = 64
ASKED_OF_EACH = 100
TERMS = {
    "reconstruction_weight": 20.0,
    "auxiliary_weight": 0.5,
}


def load(flags):
    name, data = "crowd-faces", {}
    if flags.ferplus:
        name, data = "ferplus-crowd", {"data_dir": flags.ferplus}
    profile = {
        "train_size": flags.train_size,
        "validation_size": 200,
        "test_size": 1000,
        "image_size": flags.image_size,
    }
    case = load_case(name, profile, flags.seed, **data)
    return case.train, case.test, case.image_shape


def balance(images, power, seed):
    """As many images, drawn anew: those of an expression, by the majority of
    its labels, more often by this power of how rare it is."""
    if not power:
        return images
    task = images.tasks[0]
    given = images.labels[task.name].reshape(len(images), -1)
    label = majority_vote(given, task.num_classes, seed=seed)
    known = np.flatnonzero(label >= 0)
    weight = np.bincount(label[known])[label[known]] ** -power
    draw = np.random.default_rng(seed).choice
    chosen = draw(known, len(images), p=weight / weight.sum())
    return images.select(chosen)


def make_model(tasks, shape, flags):
    # Strides keep where things are, which pooling throws away.
    images = x = keras.Input(shape)
    for filters in (32, 64, 128):
        x = layers.Conv2D(filters, 4, 2, "same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    code = {"noise_code_size": NOISE_CODE_SIZE}
    encoder = kn.Encoder(
        tasks,
        shape,
        hidden_units=256,
        dropout=0.0,
        backbone=keras.Model(images, layers.Flatten()(x)),
        **code,
    )
    return kn.JointDistributionGAN(
        encoder,
        kn.Decoder(tasks, shape, width=0.25, **code),
        kn.Discriminator(tasks, shape, width=0.125, **code),
        lambda_joint=flags.lambda_joint,
        warmup_epochs=flags.warmup_epochs,
        seed=flags.seed,
        kl_weight=flags.kl_weight,
        **TERMS,
    )


def compile_model(model, dataset, epochs, *more):
    steps = len(dataset) * epochs
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps, alpha=0.02)
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=5.0), *more)


def train(model, dataset, epochs, output, name):
    model.fit(
        dataset,
        epochs=epochs,
        callbacks=[
            kn.ResumeTraining(output / f"{name}.npz"),
            keras.callbacks.CSVLogger(output / f"{name}.csv", append=True),
        ],
        verbose=2,
    )


def train_judge(images, test, shape, flags, output):
    """A classifier of clean labels, and what it makes of the test faces.

    It is asked about all expressions equally often, so it learns from equally
    many faces of each.
    """
    clean = balance(images.clean_labels(), 1.0, flags.seed)
    judge = kn.MultiTaskModel(
        kn.Encoder(
            clean.tasks, shape, 0.125, batch_normalization=True, dropout=0.2
        )
    )
    dataset = clean.batches(
        shape,
        BATCH_SIZE,
        training=True,
        augmentation=kn.face_affine,
        seed=flags.seed,
    )
    compile_model(judge, dataset, flags.judge_epochs)
    train(judge, dataset, flags.judge_epochs, output, "judge")
    predicted = judge.predict(test.batches(shape, 250), verbose=0)
    given = test.labels["expression"].reshape(-1)
    right = predicted["expression"].argmax(axis=-1) == given
    of_each = [right[given == n].mean() for n in np.unique(given[given >= 0])]
    return judge, {
        "recognized": float(np.mean(of_each)),
        **evaluate(test, predicted),
    }


def ask(test):
    """Labels of test faces, equally many of each expression."""
    expressions = test.labels["expression"].reshape(-1)
    affect = test.labels["affect"].reshape(len(test), -1)
    known = np.isfinite(affect).all(axis=1)
    chosen = []
    for index in range(test.tasks[0].num_classes):
        own = np.flatnonzero(known & (expressions == index))
        if not own.size:
            name = test.tasks[0].class_names[index]
            raise ValueError(f"No test face with valence and arousal is {name}")
        chosen.append(np.resize(own, ASKED_OF_EACH))
    chosen = np.concatenate(chosen)
    return {"expression": expressions[chosen], "affect": affect[chosen]}


def measure(model, judge, test, seed):
    """How often the judge sees the expression that was asked for, and the
    concordance of asked and seen affect."""
    asked = ask(test)
    seen = judge.predict(model.generate(asked, seed=seed), verbose=0)
    right = seen["expression"].argmax(axis=-1) == asked["expression"]
    names = test.tasks[0].class_names
    by_class = dict(
        zip(names, right.reshape(len(names), -1).mean(axis=1), strict=True)
    )
    concordance = kn.metrics.ConcordanceCorrelation(("valence", "arousal"))
    concordance.update_state(asked["affect"][:, None], seen["affect"])
    return {
        "recognized": float(right.mean()),
        **{f"recognized {n}": float(v) for n, v in by_class.items()},
        **{name: float(v) for name, v in concordance.result().items()},
    }


def draw(model, test, rows=6):
    """A grid with a column an expression, at its mean affect."""
    asked = ask(test)
    names = test.tasks[0].class_names
    affect = asked["affect"].reshape(len(names), -1, 2).mean(axis=1)
    labels = {
        "expression": np.tile(np.arange(len(names), dtype="int32"), rows),
        "affect": np.tile(affect, (rows, 1)).astype("float32"),
    }
    images = model.generate(labels, seed=0)
    images = images.reshape(rows, len(names), *images.shape[1:])
    return plot_image_grid(images, names)


def run(flags):
    output = prepare_output_dir(flags.output_dir)
    paths = ("ferplus", "output_dir")
    settings = {k: v for k, v in vars(flags).items() if k not in paths}
    settings |= {"noise_code_size": NOISE_CODE_SIZE, **TERMS}
    settings["data"] = "FER+, three sources" if flags.ferplus else "drawn faces"
    keep_settings(output, {"settings": settings})
    images, test, shape = load(flags)
    keras.utils.set_random_seed(flags.seed)
    judge, judged = train_judge(images, test, shape, flags, output)
    images = balance(images, flags.balance, flags.seed)
    keras.utils.set_random_seed(flags.seed)
    model = make_model(images.tasks, shape, flags)
    dataset = images.batches(
        shape,
        BATCH_SIZE,
        training=True,
        augmentation=kn.face_affine if flags.augment else None,
        seed=flags.seed,
    )
    compile_model(
        model, dataset, flags.epochs, keras.optimizers.Adam(5e-4, beta_1=0.5)
    )
    train(model, dataset, flags.epochs, output, "decoder")
    metrics = {
        **measure(model, judge, test, flags.seed),
        **{f"judge on test faces, {k}": v for k, v in judged.items()},
        **{
            f"encoder on test faces, {k}": v
            for k, v in evaluate(
                test, model.predict(test.batches(shape, 250), verbose=0)
            ).items()
        },
    }
    draw(model, test).savefig(output / "generated_faces.png", dpi=120)
    export_decoder(model, output / "saved_decoder" / "1", overwrite=True)
    write_json(output / "results.json", {"settings": settings, **metrics})
    for name, value in metrics.items():
        print(f"{name}: {value:.3f}")
    print(f"Faces and SavedModel: {output}")


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    count = number_flag(int, minimum=1)
    add("--ferplus", metavar="FOLDER", help="that `ferplus_cases.py` describes")
    add("--train-size", type=count, default=8000)
    add("--image-size", type=count, default=32, choices=(32, 48, 64))
    add(
        "--balance",
        type=number_flag(float, minimum=0, maximum=1),
        default=0.0,
        help="how far to draw rare expressions more often, from 0 to 1",
    )
    add("--augment", action="store_true", help="turn, scale and flip them")
    add("--epochs", type=count, default=20)
    add("--judge-epochs", type=count, default=12)
    add("--warmup-epochs", type=number_flag(int, minimum=0), default=2)
    add("--lambda-joint", type=number_flag(float, minimum=0), default=0.01)
    add("--kl-weight", type=number_flag(float, minimum=0), default=1e-3)
    add("--seed", type=number_flag(int, minimum=0), default=0)
    add("--output-dir", default="runs/decoder")
    run_command(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
