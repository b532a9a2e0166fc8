"""Draws README's picture: noisy labels in, a ranking and suspect labels out.

The faces, their labels and the suspects are those of README's example; the
ranking is that of `results/quickstart`. Takes some minutes.
"""

import pathlib

import numpy as np
from matplotlib.figure import Figure

import keras_noisyfer as kn
from keras_noisyfer import noise
from keras_noisyfer.files import read_json

HERE = pathlib.Path(__file__).parent
RESULTS = HERE.parents[1] / "results" / "quickstart"
NAMES = np.array(kn.datasets.EXPRESSIONS)
SHOWN = 6
WRONG, RIGHT = "#b2182b", "#1a1a1a"


def make_data():
    faces = kn.datasets.load_synthetic_faces(train_size=900, image_size=32)
    annotators = [noise.CategoricalAnnotator(rate) for rate in (0.3, 0.4, 0.5)]
    affect = [noise.ContinuousAnnotator(standard_deviation=0.3)]
    return faces.with_noise({"expression": annotators, "affect": affect})


def train(data):
    small = {"width": 0.125, "batch_normalization": True, "dropout": 0.0}
    model = kn.MultiTaskModel(kn.Encoder(data.tasks, (32, 32, 3), **small))
    loss = kn.losses.SparseSymmetricCrossentropy()
    model.compile(kn.FusedAdam(2e-3), loss={"expression": loss})
    model.fit(data.batches(batch_size=32, training=True), epochs=24, verbose=2)
    return model


def draw_faces(figure, images, texts):
    """A row of faces, under each lines of text and their colors."""
    room = {"left": 0.01, "right": 0.99, "top": 0.86, "bottom": 0.3}
    row = figure.subplots(1, SHOWN, gridspec_kw=room)
    for axes, image, lines in zip(row, images, texts, strict=True):
        axes.imshow(image)
        axes.set_axis_off()
        for index, (line, color) in enumerate(lines):
            place = {"x": 0.5, "y": -0.06 - 0.15 * index}
            style = {"color": color, "fontsize": 9, "ha": "center", "va": "top"}
            axes.text(s=line, transform=axes.transAxes, **place, **style)


def draw_input(figure, data):
    figure.suptitle("In: images, and labels of several annotators (wrong: red)")
    truth = data.clean["expression"]
    draw_faces(
        figure,
        data.images.images[:SHOWN],
        [
            [
                (NAMES[label], RIGHT if label == truth[index] else WRONG)
                for label in data.labels["expression"][index]
            ]
            for index in range(SHOWN)
        ],
    )


def draw_ranking(figure):
    figure.suptitle("Out: which remedy fits them")
    runs = [read_json(path) for path in sorted(RESULTS.glob("seed*.json"))]
    titles = [row["method"] for row in runs[0]["results"]]
    room = {"left": 0.25, "right": 0.97, "top": 0.78, "bottom": 0.16}
    axes = figure.subplots(gridspec_kw=room)
    for offset, key, color, label in (
        (0.2, "noisy accuracy", "#999999", "on held-out noisy labels"),
        (-0.2, "accuracy", "#2166ac", "on clean labels, never used"),
    ):
        values = [
            np.mean([run["results"][index][key] for run in runs])
            for index in range(len(titles))
        ]
        rows = -np.arange(len(titles)) + offset
        axes.barh(rows, values, height=0.38, color=color, label=label)
    axes.set_yticks(-np.arange(len(titles)), titles, fontsize=9)
    axes.set_xlabel("accuracy of the expression, mean of five seeds")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.98)
    )


def draw_suspects(figure, data, found):
    figure.suptitle("Out: labels that are probably wrong")
    labels = found.labels[found.labels["task"] == "expression"]
    suspects = labels.nsmallest(SHOWN, "score")
    places = [data.names.index(name) for name in suspects["image"]]
    draw_faces(
        figure,
        data.images.images[places],
        [
            [
                (f"given: {row.given}", WRONG),
                (f"rather: {row.consensus}", RIGHT),
            ]
            for row in suspects.itertuples()
        ],
    )


def main():
    data = make_data()
    found = kn.audit(train(data), data)
    figure = Figure(figsize=(9, 7.8))
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=(1, 1.1, 0.95))
    draw_input(top, data)
    draw_ranking(middle)
    draw_suspects(bottom, data, found)
    figure.savefig(HERE / "overview.png", dpi=110)


if __name__ == "__main__":
    main()
