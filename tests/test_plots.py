import numpy as np
import pytest

from keras_noisyfer.plots import (
    plot_confusion_matrix,
    plot_image_grid,
    plot_training_curves,
)


def test_training_curves_leave_out_the_warm_up():
    histories = {
        "plain": {"val_accuracy": [0.1, 0.2, 0.3]},
        "proposed": {
            "val_accuracy": [0.2, 0.3, 0.4],
            "generator_joint_loss": [0.0, 1.5, 2.5],
            "discriminator_loss": [0.0, 0.5, 0.4],
        },
    }
    figure = plot_training_curves(histories, "val_accuracy", "test accuracy")
    accuracy, generator, discriminator = figure.axes
    assert accuracy.get_title() == "test accuracy"
    assert [line.get_label() for line in accuracy.lines] == list(histories)
    np.testing.assert_array_equal(generator.lines[0].get_xdata(), [2, 3])
    np.testing.assert_array_equal(generator.lines[0].get_ydata(), [1.5, 2.5])
    np.testing.assert_array_equal(
        discriminator.lines[0].get_ydata(), [0.5, 0.4]
    )


def test_a_metric_that_nobody_has_is_refused():
    history = {"loss": [1.0], "val_accuracy": [0.5]}
    with pytest.raises(ValueError, match="`metric` must be one of loss, val_"):
        plot_training_curves({"plain": history}, "accuracy")
    with pytest.raises(ValueError, match="`histories` must be a dict by meth"):
        plot_training_curves(history, "val_accuracy")


def test_confusion_matrix_is_in_percent_of_the_true_class():
    figure = plot_confusion_matrix(
        np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), ("a", "b", "c")
    )
    (panel,) = figure.axes
    expected = [[75, 25, 0], [0, 100, 0], [0, 0, 0]]
    np.testing.assert_allclose(panel.images[0].get_array(), expected)
    texts = [text.get_text() for text in panel.texts]
    assert texts == ["75", "25", "0", "0", "100", "0", "0", "0", "0"]


@pytest.mark.parametrize("channels", [1, 3])
def test_image_grid(channels, tmp_path):
    images = np.full((2, 3, 8, 8, channels), -1.0)
    images[0, 1] = 1.0
    figure = plot_image_grid(images, ("a", "b", "c"))
    assert len(figure.axes) == 6
    assert [panel.get_title() for panel in figure.axes[:3]] == ["a", "b", "c"]
    assert figure.axes[1].images[0].get_array().min() == 1.0
    assert figure.axes[0].images[0].get_array().max() == 0.0
    figure.savefig(tmp_path / "grid.png")
