"""Trains the model for real faces, `saved_models/ferplus`, on noisy labels.

Three sampled votes on the expression and a machine's valence and arousal; no
clean label is read before the model is finished. `compare` chooses the method
on a part of the faces, by held-out noisy labels; that method is then trained
on all but a few, and measured on the crowd's labels of the validation split,
after the last epoch. Stopped and started again, it goes on where it was.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
from experiments import ferplus_cases

import keras_noisyfer as kn
from keras_noisyfer.comparison import evaluate, prepare_training
from keras_noisyfer.metrics import expected_calibration_error
from keras_noisyfer.plots import plot_confusion_matrix, plot_reliability
from keras_noisyfer.results import prepare_output_dir, write_json
from keras_noisyfer.serving import ModelCard
from noisyfer.flags import number_flag, recipe_parser, run_command

METHODS = ("vggnet", "sce", "elr", "mixup")
SHAPE = (48, 48, 1)
HELD_OUT = 1000
# Of the comparison and of the training, as the card says.
SETTINGS = {
    "batch_size": 64,
    "learning_rate": 2e-3,
    "batch_normalization": True,
    "dropout": 0.2,
}


def choose(data, flags, folder):
    """The method that a part of the faces tells, and the ranking."""
    (part,) = data.split([min(flags.compare_size, len(data))], flags.seed)
    ranking = kn.compare(
        part,
        METHODS,
        epochs=flags.compare_epochs,
        image_shape=SHAPE,
        augmentation=kn.face_affine,
        output_dir=folder,
        seed=flags.seed,
        report=lambda line: print(line, flush=True),
        width=flags.width,
        **SETTINGS,
    )
    print(f"\n{ranking}\n", flush=True)
    return ranking.recommended


def train(method, images, held_out, flags, output):
    model, dataset, epochs = prepare_training(
        method,
        images,
        SHAPE,
        epochs=flags.epochs,
        decay=True,
        augmentation=kn.face_affine,
        seed=flags.seed,
        width=flags.width,
        **SETTINGS,
    )
    model.fit(
        dataset,
        epochs=epochs,
        validation_data=held_out.batches(SHAPE, 256),
        callbacks=[
            kn.ResumeTraining(output / "resume.npz"),
            keras.callbacks.CSVLogger(output / "history.csv", append=True),
        ],
        verbose=2,
    )
    return model


def measure(model, test):
    """What the card says, and the figures."""
    predicted = model.predict(test.batches(SHAPE, 256), verbose=0)
    clean = test.labels["expression"].reshape(-1)
    known = clean >= 0
    clean, probabilities = clean[known], predicted["expression"][known]
    right = probabilities.argmax(axis=-1) == clean
    metrics = {
        **evaluate(test, predicted),
        "faces": len(clean),
        "expected calibration error": expected_calibration_error(
            clean, probabilities
        ),
    }
    names = test.tasks[0].class_names
    for index, name in enumerate(names):
        if not (clean == index).any():
            continue
        metrics[f"recall of {name}, {(clean == index).sum()} faces"] = float(
            right[clean == index].mean()
        )
    figures = {
        "confusion_matrix": plot_confusion_matrix(
            clean, probabilities.argmax(axis=-1), names
        ),
        "reliability": plot_reliability(clean, probabilities),
    }
    return metrics, figures


def make_card(settings, metrics, noise):
    return ModelCard(
        title="Expression, valence and arousal of faces",
        data="FER2013's faces, 48x48 pixels, grey, found by a web search and "
        "cropped by a face detector; the expression is three sampled votes of "
        "FER+'s crowd, valence and arousal are another network's. Measured on "
        "the crowd's plurality, and its votes times the mean affect of a "
        "class, of FER+'s validation split. Who the people are, their age, "
        "sex, origin and state of health, is not recorded, so that nobody "
        "knows for whom the model fails more often; the table shows for which "
        "expressions.",
        data_license="FER2013: research use; FER+'s labels: MIT. No image of "
        "theirs is in this folder.",
        faces=True,
        weights_license="Apache-2.0; mind the licence of the data.",
        realised_noise=noise,
        settings=settings,
        metrics=metrics,
        selection_rule="The method was chosen by held-out noisy labels; the "
        "metrics are of the last epoch. No clean label decided anything.",
    )


def run(flags):
    output = prepare_output_dir(flags.output_dir)
    data = ferplus_cases.three_votes("train", {}, flags.seed, flags.data_dir)
    test = ferplus_cases.three_votes("test", {}, flags.seed, flags.data_dir)
    print(data.report)
    method = flags.method or choose(data, flags, output / "comparison")
    images, held_out = data.split([len(data) - HELD_OUT, HELD_OUT], flags.seed)
    model = train(method, images, held_out, flags, output)
    metrics, figures = measure(model, test.clean_labels())
    for name, figure in figures.items():
        figure.savefig(output / f"{name}.png", dpi=120)
    noise = {
        name: kn.noise.realised_noise(images.labels[name], clean)
        for name, clean in images.clean.items()
    }
    settings = {
        "method": method,
        "faces": len(images),
        "epochs": flags.epochs,
        "width": flags.width,
        "seed": flags.seed,
        **SETTINGS,
    }
    write_json(output / "results.json", {"settings": settings, **metrics})
    kn.export(
        model,
        output / "saved_model" / "1",
        ("saved_model", "onnx", "litert_int8"),
        make_card(settings, metrics, noise),
        calibration=images.batches(SHAPE, SETTINGS["batch_size"]),
        overwrite=True,
    )
    for name, value in metrics.items():
        print(f"{name}: {value:.4g}")
    print(f"Model and figures: {output}")


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    count = number_flag(int, minimum=1)
    add("data_dir", help="the folder that `ferplus_cases.py` describes")
    add("--method", choices=METHODS, help="compare nothing, train this one")
    add("--compare-size", type=count, default=6000, help="faces to choose by")
    add("--compare-epochs", type=count, default=10)
    add("--epochs", type=count, default=25)
    add("--width", type=number_flag(float, above=0), default=0.1875)
    add("--seed", type=number_flag(int, minimum=0), default=0)
    add("--output-dir", default="runs/ferplus_model")
    run_command(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
