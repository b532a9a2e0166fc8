import numpy as np
import pandas as pd
import pytest

from keras_noisyfer.comparison.figures import (
    plot_accuracy_by_step,
    plot_confusion_matrices,
    plot_examples,
    plot_lambda_study,
    plot_samples,
)
from keras_noisyfer.comparison.reading import read_histories
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

CLEAN = np.array([0, 1, 2, 0, 1, 2, -1], "int32")
# Of each method, for the seven test images; the fifth is right of all.
PREDICTIONS = {
    "vggnet": [0, 2, 2, 0, 1, 0, 1],
    "ltnet": [1, 1, 2, 0, 1, 2, 1],
    "proposed": [0, 1, 1, 0, 1, 2, 1],
}


class Results:
    """A folder as an experiment leaves it."""

    def __init__(self, folder):
        self.folder = folder
        self.rows = []

    def add(self, setting, folder, method, seed, accuracy, **columns):
        path = self.folder / "cells" / folder / method / f"seed{seed}"
        path.mkdir(parents=True)
        epochs = np.arange(1, 1 + len(accuracy))
        history = {
            "epoch": epochs,
            "step": 10 * epochs,
            "loss": 4.0 / epochs,
            "object_loss": 3.0 / epochs,
            "object_size_loss": 1.0 / epochs,
            **columns,
            "validation_object_accuracy": np.multiply(accuracy, 0.5),
            "test_object_accuracy": accuracy,
            "test_object_size_ccc": np.multiply(accuracy, -1),
        }
        pd.DataFrame(history).to_csv(path / "history.csv", index=False)
        np.savez(
            path / "predictions.npz",
            object=np.array(PREDICTIONS[method], "uint8"),
            object_clean=CLEAN,
            object_class_names=["ape", "bee", "cat", "dog"],
            object_size=np.zeros((7, 1), "float32"),
            object_size_clean=np.zeros((7, 1), "float32"),
        )
        self.rows.append(
            {"setting": setting, "method": method, "seed": seed, "epochs": 4}
        )
        pd.DataFrame(self.rows).to_csv(self.folder / "cells.csv", index=False)
        return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    results = Results(folder)
    multi = ("Multi-label, 30", "multi-label-30")
    results.add(*multi, "vggnet", 0, [0.2, 0.5, 0.3])
    results.add(*multi, "vggnet", 1, [0.4, 0.7, 0.4])
    results.add(*multi, "ltnet", 0, [0.3, 0.3, 0.3])
    path = results.add(
        *multi,
        "proposed",
        0,
        [0.2, 0.4, 0.6],
        generator_joint_loss=[0.0, 2.0, 2.5],
        discriminator_loss=[0.0, 0.5, 0.4],
    )
    images = np.full((2, 3, 8, 8, 3), 255, "uint8")
    images[1, 2] = 0
    np.savez(path / "samples.npz", images=images, class_names=["a", "b", "c"])
    # Text order is not that of the numbers, and the first is empty, not 0.
    for number, start in ((10.0, None), (0.4, 0.0)):
        results.add(
            f"lambda {number}",
            f"lambda-{number}",
            "proposed",
            0,
            [number / 20, number / 10],
            generator_joint_loss=[start, number],
            discriminator_loss=[start, number / 2],
        )
    # Still running: it has a history, but no line in cells.csv.
    other = folder / "cells" / "multi-label-30" / "sce" / "seed0"
    other.mkdir(parents=True)
    pd.DataFrame({"epoch": [1]}).to_csv(other / "history.csv")
    return folder


@pytest.fixture(scope="module")
def test_data():
    images = np.zeros((7, 8, 8, 3), "uint8")
    images += 20 * np.arange(7, dtype="uint8")[:, None, None, None]
    tasks = [
        CategoricalTask("object", class_names=("ape", "bee", "cat")),
        ContinuousTask("object_size", ("size",)),
    ]
    labels = {"object": CLEAN, "object_size": np.zeros((7, 1), "float32")}
    return LabelledImages(ImageArray(images), labels, tasks, clean=labels)


SETTING, OBJECT = "Multi-label, 30", "object_accuracy"


def test_histories_hold_finished_cells_and_no_loss_of_the_warm_up(folder):
    histories = read_histories(folder, SETTING)
    cells = histories[["method", "seed"]].drop_duplicates()
    assert cells.values.tolist() == [
        ["vggnet", 0],
        ["vggnet", 1],
        ["ltnet", 0],
        ["proposed", 0],
    ]
    assert len(histories) == 4 * 3
    proposed = read_histories(folder, SETTING, "proposed")
    np.testing.assert_array_equal(
        proposed["generator_joint_loss"], [np.nan, 2.0, 2.5]
    )
    assert histories["discriminator_loss"].notna().sum() == 2


def test_accuracy_by_step_is_the_mean_with_the_range_of_the_seeds(folder):
    figure = plot_accuracy_by_step(folder, SETTING)
    accuracy, loss, generator, discriminator = figure.axes
    assert [panel.get_title() for panel in figure.axes] == [
        "test object accuracy",
        "training object loss",
        "generator's joint loss",
        "discriminator's loss",
    ]
    assert [line.get_label() for line in accuracy.lines] == [
        "VGGNet, all noisy labels",
        "LTNet",
        "Joint-distribution GAN",
    ]
    np.testing.assert_array_equal(accuracy.lines[0].get_xdata(), [10, 20, 30])
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [0.3, 0.6, 0.35])
    # One method has two seeds.
    (shade,) = accuracy.collections
    corners = shade.get_paths()[0].vertices
    heights = {tuple(corner) for corner in corners.round(6)}
    assert {(20, 0.5), (20, 0.7), (30, 0.3), (30, 0.4)} <= heights
    np.testing.assert_allclose(loss.lines[2].get_ydata(), [3.0, 1.5, 1.0])
    assert loss.get_ylim()[0] == 0
    assert [line.get_color() for line in loss.lines] == [
        line.get_color() for line in accuracy.lines
    ]
    (line,) = generator.lines
    np.testing.assert_allclose(line.get_data(), [[20, 30], [2.0, 2.5]])
    assert line.get_color() == accuracy.lines[2].get_color()
    np.testing.assert_allclose(discriminator.lines[0].get_ydata(), [0.5, 0.4])
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 3


def test_accuracy_by_step_of_chosen_methods_and_another_task(folder):
    figure = plot_accuracy_by_step(
        folder, SETTING, "object_size_ccc", methods=["proposed", "vggnet"]
    )
    ccc, loss, *_ = figure.axes
    assert [line.get_label() for line in ccc.lines] == [
        "Joint-distribution GAN",
        "VGGNet, all noisy labels",
    ]
    np.testing.assert_allclose(ccc.lines[0].get_ydata(), [-0.2, -0.4, -0.6])
    # That of the task `object_size`, not of `object`.
    assert loss.get_title() == "training object size loss"
    np.testing.assert_allclose(loss.lines[0].get_ydata()[0], 1.0)


def test_accuracy_by_step_of_several_metrics(folder):
    metrics = ["object_size_ccc", "object_accuracy"]
    figure = plot_accuracy_by_step(folder, SETTING, metrics, ["vggnet"])
    assert [panel.get_title() for panel in figure.axes] == [
        "test object size ccc",
        "test object accuracy",
        # Of the first; plain training has no joint losses.
        "training object size loss",
    ]
    heights = [panel.lines[0].get_ydata() for panel in figure.axes[:2]]
    np.testing.assert_allclose(heights[0], np.multiply(heights[1], -1))
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 1


def test_lambda_study_orders_lambdas_and_leaves_out_the_warm_up(folder):
    figure = plot_lambda_study(folder, {10.0: "lambda 10.0", 0.4: "lambda 0.4"})
    accuracy, generator, discriminator = figure.axes
    labels = [line.get_label() for line in accuracy.lines]
    assert labels == ["λ = 0.4", "λ = 10"]
    np.testing.assert_allclose(accuracy.lines[1].get_ydata(), [0.5, 1.0])
    for line, value in zip(generator.lines, (0.4, 10), strict=True):
        np.testing.assert_allclose(line.get_data(), [[20], [value]])
    np.testing.assert_allclose(discriminator.lines[1].get_data(), [[20], [5]])
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == [
        "test object accuracy",
        "generator's joint loss",
        "discriminator's loss",
    ]


def test_samples_are_the_grid_of_the_file(folder):
    figure = plot_samples(folder, SETTING)
    assert [each.get_title() for each in figure.axes[:3]] == ["a", "b", "c"]
    shades = [each.images[0].get_array().mean() for each in figure.axes]
    np.testing.assert_allclose(shades, [1, 1, 1, 1, 1, 0])


def test_confusion_matrices_share_their_scale(folder):
    figure = plot_confusion_matrices(
        folder, SETTING, ["vggnet", "proposed"], "object"
    )
    vggnet, proposed, _ = figure.axes
    assert vggnet.get_title() == "VGGNet, all noisy labels"
    assert proposed.get_title() == "Joint-distribution GAN"
    # The last image has no clean label.
    np.testing.assert_allclose(
        vggnet.images[0].get_array()[:3, :3],
        [[100, 0, 0], [0, 50, 50], [50, 0, 50]],
    )
    np.testing.assert_allclose(
        proposed.images[0].get_array()[:3, :3],
        [[100, 0, 0], [0, 100, 0], [0, 50, 50]],
    )
    for panel in (vggnet, proposed):
        assert panel.images[0].get_clim() == (0, 100)


def test_confusion_matrices_name_the_classes(folder):
    figure = plot_confusion_matrices(folder, SETTING, ["ltnet"], "object")
    panel = figure.axes[0]
    labels = [each.get_text() for each in panel.get_xticklabels()]
    assert labels == ["ape", "bee", "cat", "dog"]
    assert panel.images[0].get_array().shape == (4, 4)


def shown(figure):
    """Index of each image that is drawn, with its lines and colours."""
    found = {}
    for panel in figure.axes:
        for image in panel.images:
            index = round(float(image.get_array().mean()) * 255 / 20)
            found[index] = [
                (text.get_text(), text.get_color()) for text in panel.texts
            ]
    return found


def test_examples_show_where_the_method_is_right_and_wrong(folder, test_data):
    methods = ["vggnet", "ltnet", "proposed"]
    figure = plot_examples(folder, SETTING, methods, "object", test_data)
    assert shown(figure) == {
        0: [
            ("L: ape", "black"),
            ("V: ape", "black"),
            ("T: bee", "red"),
            ("P: ape", "black"),
        ],
        1: [
            ("L: bee", "black"),
            ("V: cat", "red"),
            ("T: bee", "black"),
            ("P: bee", "black"),
        ],
        5: [
            ("L: cat", "black"),
            ("V: ape", "red"),
            ("T: cat", "black"),
            ("P: cat", "black"),
        ],
        # Its own failure, in the last column.
        2: [
            ("L: cat", "black"),
            ("V: cat", "black"),
            ("T: cat", "black"),
            ("P: bee", "red"),
        ],
    }
    assert len(figure.axes) == 3 * 6
    assert figure.axes[5].images
    key = figure.get_supxlabel().splitlines()
    assert key == [
        "L: clean label",
        "V: VGGNet, all noisy labels",
        "T: LTNet",
        "P: Joint-distribution GAN",
    ]


def test_examples_of_another_method_are_as_many_as_asked_for(folder, test_data):
    figure = plot_examples(
        folder,
        SETTING,
        ["ltnet", "proposed"],
        "object",
        test_data,
        method="ltnet",
        count=1,
    )
    assert set(shown(figure)) == {2, 0}
    assert len(figure.axes) == 6


def one_method(folder, test_data):
    plot_examples(folder, SETTING, ["proposed"], "object", test_data)


def fewer_images(folder, test_data):
    data = test_data.take(6)
    plot_examples(folder, SETTING, list(PREDICTIONS), "object", data)


def other_images(folder, test_data):
    labels = {name: each[::-1] for name, each in test_data.labels.items()}
    data = LabelledImages(test_data.images, labels, test_data.tasks, labels)
    plot_examples(folder, SETTING, list(PREDICTIONS), "object", data)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda f, _: plot_lambda_study(f / "cells", {0.4: "a"}),
            "`folder` must hold the cells.csv .* Received: .*cells$",
        ),
        (
            lambda f, _: plot_accuracy_by_step(f, "single"),
            "`setting` must be one of Multi-label, 30, lambda 10.0, "
            "lambda 0.4. Received: 'single'",
        ),
        (
            lambda f, _: plot_accuracy_by_step(f, SETTING, []),
            "`metric` must not be empty.",
        ),
        (
            lambda f, _: plot_accuracy_by_step(f, SETTING, OBJECT, ()),
            "`methods` must not be empty.",
        ),
        (
            lambda f, _: plot_accuracy_by_step(f, SETTING, "precision"),
            "`metric` must be one of object_accuracy, object_size_ccc. "
            "Received: 'precision'",
        ),
        (
            lambda f, _: plot_accuracy_by_step(f, SETTING, OBJECT, ["sce"]),
            "`methods` must be one of vggnet, ltnet, proposed. Received: 'sce'",
        ),
        (
            lambda f, _: plot_samples(f, SETTING, seed=1),
            "`seed` must be one of 0. Received: 1",
        ),
        (
            lambda f, _: plot_samples(f, SETTING, "vggnet"),
            "vggnet.seed0 must hold samples.npz. "
            "Received: history.csv, predictions.npz",
        ),
        (
            lambda f, _: plot_samples(f, SETTING, "air"),
            "`method` must be one of vggnet, .* Received: 'air'",
        ),
        (
            lambda f, _: plot_confusion_matrices(
                f, SETTING, ["vggnet"], "object_size"
            ),
            "`task` must be one of object. Received: 'object_size'",
        ),
        (
            one_method,
            "`methods` must hold 'proposed', the `method`, and another one. "
            r"Received: \['proposed'\]",
        ),
        (fewer_images, "tested on, 7. Received: 6$"),
        (other_images, "tested on, 7. Received: 7 with other labels"),
    ],
)
def test_errors(folder, test_data, call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(folder, test_data)
    assert "\n" not in str(error.value)


def test_lambda_study_needs_joint_losses(tmp_path):
    results = Results(tmp_path)
    results.add("lambda 0.4", "lambda-0.4", "vggnet", 0, [0.5])
    with pytest.raises(
        ValueError, match="one with joint losses. Received: 'vggnet'"
    ):
        plot_lambda_study(tmp_path, {0.4: "lambda 0.4"}, method="vggnet")
