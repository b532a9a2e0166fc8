import builtins
import io
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_noisyfer import callbacks
from keras_noisyfer.callbacks import LiveCurves, SampleGrid
from keras_noisyfer.models import JointDistributionGAN
from keras_noisyfer.networks import Encoder
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

EXPRESSION = CategoricalTask("expression", class_names=("happy", "sad", "odd"))
OBJECT = CategoricalTask("object", 2, annotators=2)
AFFECT = ContinuousTask("affect", ("valence", "arousal"), annotators=2)


class FakeModel:
    """What the callbacks read of a model; `generate` keeps its calls."""

    name = "the_model"
    use_decoder = True

    def __init__(self, tasks=(EXPRESSION,), warmup_epochs=0):
        self.tasks = list(tasks)
        self.warmup_epochs = warmup_epochs
        self.completed_epochs = keras.Variable(0, dtype="int32")
        self.calls = []

    def generate(self, labels, seed):
        self.calls.append((labels, seed))
        count = len(labels[self.tasks[0].name])
        # Image i is of shade i / 10.
        shades = np.arange(count).reshape(count, 1, 1, 1) / 10
        return np.tile(shades, (1, 4, 4, 1))

    def fit(self, callback, epochs, logs=None):
        """Calls a callback as `fit` does, with one dict of logs an epoch."""
        callback.set_model(self)
        callback.on_train_begin()
        for epoch in range(epochs):
            self.completed_epochs.assign_add(1)
            callback.on_epoch_end(epoch, logs and logs[epoch])
        callback.on_train_end()
        return callback


class FakeNotebook:
    """Stands for IPython: keeps what was shown, and what replaced what."""

    def __init__(self):
        self.outputs = []

    def display(self, image, display_id):
        assert display_id is True
        self.outputs.append([image.data])
        index = len(self.outputs) - 1
        return types.SimpleNamespace(
            update=lambda image: self.outputs[index].append(image.data)
        )


@pytest.fixture
def notebook(monkeypatch):
    fake = FakeNotebook()
    package = types.ModuleType("IPython")
    # matplotlib asks for it.
    package.version_info = (9, 0)
    package.get_ipython = lambda: fake
    package.display = types.ModuleType("IPython.display")
    package.display.Image = lambda data: types.SimpleNamespace(data=data)
    package.display.display = fake.display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", package.display)
    return fake


@pytest.fixture
def drawn(monkeypatch):
    """The figures that callbacks draw, and the arguments of the grids."""
    figures, grids = [], []

    def curves(*args):
        figures.append(real_curves(*args))
        return figures[-1]

    def grid(*args):
        grids.append(args)
        figures.append(real_grid(*args))
        return figures[-1]

    real_curves = callbacks.plot_training_curves
    real_grid = callbacks.plot_image_grid
    monkeypatch.setattr(callbacks, "plot_training_curves", curves)
    monkeypatch.setattr(callbacks, "plot_image_grid", grid)
    return types.SimpleNamespace(figures=figures, grids=grids)


# === LiveCurves ===


def test_live_curves_grow_in_one_output(notebook, drawn):
    curves = LiveCurves("val_accuracy")
    logs = [
        {
            "val_accuracy": 0.1 * epoch,
            "generator_joint_loss": 2.0 * epoch,
            "discriminator_loss": 1.0 * epoch,
        }
        for epoch in range(3)
    ]
    FakeModel().fit(curves, 3, logs)
    (shown,) = notebook.outputs
    assert len(shown) == len(drawn.figures) == 3
    assert Image.open(io.BytesIO(shown[-1])).format == "PNG"
    for epochs, figure in enumerate(drawn.figures, start=1):
        accuracy, generator, discriminator = figure.axes
        (line,) = accuracy.lines
        assert line.get_label() == "the_model"
        np.testing.assert_allclose(line.get_ydata(), [0, 0.1, 0.2][:epochs])
        # Without the first epoch, that of the warm-up.
        np.testing.assert_allclose(
            generator.lines[0].get_data(),
            [[2, 3][: epochs - 1], [2, 4][: epochs - 1]],
        )
        np.testing.assert_allclose(
            discriminator.lines[0].get_ydata(), [1, 2][: epochs - 1]
        )
    # A further run has an output of its own and begins anew.
    FakeModel().fit(curves, 1, [{"val_accuracy": 0.7}])
    assert [len(each) for each in notebook.outputs] == [3, 1]
    (panel,) = drawn.figures[-1].axes
    np.testing.assert_allclose(panel.lines[0].get_data(), [[1], [0.7]])


def test_live_curves_name_the_metrics_there_are(notebook):
    with pytest.raises(
        ValueError,
        match="`metric` must be one of loss, accuracy. Received: 'acc'",
    ):
        FakeModel().fit(LiveCurves("acc"), 1, [{"loss": 1, "accuracy": 0}])


@pytest.mark.parametrize(
    "make", [lambda: LiveCurves("loss"), lambda: SampleGrid()]
)
def test_outside_a_notebook(make, notebook, monkeypatch):
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    with pytest.raises(ValueError, match="must be made in a notebook"):
        make()


@pytest.mark.parametrize(
    ("make", "package", "message"),
    [
        (lambda: LiveCurves("loss"), "IPython", "LiveCurves needs IPython"),
        (lambda: SampleGrid(), "IPython", "without `log_dir` needs IPython"),
        (
            lambda: SampleGrid(log_dir="logs"),
            "tensorboard",
            "with `log_dir` needs tensorboard: pip install",
        ),
    ],
)
def test_missing_packages(make, package, message, monkeypatch):
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=message):
        make()


# === SampleGrid ===


def test_grid_of_each_class_with_the_same_noise(notebook, drawn):
    model = FakeModel([EXPRESSION, OBJECT])
    model.fit(SampleGrid(rows=2, every=2, seed=3), epochs=5)
    # After the epochs 2 and 4; one output, updated.
    assert [len(each) for each in notebook.outputs] == [2]
    images, titles = drawn.grids[0]
    assert titles == ["happy\n0", "sad\n0", "odd\n0"]
    assert images.shape == (2, 3, 4, 4, 1)
    np.testing.assert_allclose(
        images[..., 0, 0, 0], [[0, 0.1, 0.2], [0.3, 0.4, 0.5]]
    )
    for labels, seed in model.calls:
        assert seed == 3
        np.testing.assert_array_equal(labels["expression"], [0, 1, 2] * 2)
        np.testing.assert_array_equal(labels["object"], [0] * 6)


def test_grid_of_given_labels(notebook, drawn):
    model = FakeModel([EXPRESSION, AFFECT])
    affect = np.array([[-0.5, 0.25], [1, 0]], "float32")
    labels = {"affect": affect, "expression": [2, 0]}
    model.fit(SampleGrid(labels, rows=3), epochs=1)
    assert drawn.grids[0][1] == ["odd\n-0.5 0.25", "happy\n1 0"]
    given, _ = model.calls[-1]
    np.testing.assert_array_equal(given["expression"], [2, 0] * 3)
    np.testing.assert_array_equal(given["affect"], [*affect] * 3)


def test_titles_are_the_first_annotators_labels(notebook, drawn):
    model = FakeModel([OBJECT, AFFECT])
    labels = {
        "object": np.array([[0, 1], [1, 0]]),
        "affect": np.array([[[0.5, 0], [1, 1]], [[-1, 1], [0, 0]]]),
    }
    model.fit(SampleGrid(labels, rows=1), epochs=1)
    assert drawn.grids[0][1] == ["0\n0.5 0", "1\n-1 1"]


def test_no_grid_during_the_warm_up(notebook):
    model = FakeModel(warmup_epochs=2)
    grid = SampleGrid(rows=1)
    model.fit(grid, epochs=2)
    assert notebook.outputs == []
    # The epochs are counted over calls of fit.
    model.fit(grid, epochs=1)
    model.fit(grid, epochs=2)
    assert [len(each) for each in notebook.outputs] == [1, 2]


def test_arguments_of_the_grid(notebook, tmp_path):
    for name in ("rows", "every"):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1"):
            SampleGrid(**{name: 0})
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ValueError, match="`log_dir` must be a folder"):
        SampleGrid(log_dir=path)
    with pytest.raises(ValueError, match="`seed` must be at least 0"):
        SampleGrid(seed=-1)


def test_models_that_the_grid_does_not_fit(notebook):
    model = FakeModel()
    model.use_decoder = False
    with pytest.raises(ValueError, match="with a decoder. Received: FakeModel"):
        model.fit(SampleGrid(), 0)
    # When training begins, not when the warm-up has ended.
    model = FakeModel([EXPRESSION, AFFECT], warmup_epochs=5)
    with pytest.raises(
        ValueError, match="`labels` must be given .* task 'affect'"
    ):
        model.fit(SampleGrid(), 0)


# === With a model ===


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    encoder = Encoder(
        [EXPRESSION], (32, 32, 3), dropout=0.0, width=1 / 16, noise_code_size=5
    )
    model = JointDistributionGAN(encoder, seed=1, warmup_epochs=1)
    # Tracing the step takes longer than a few eager ones.
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    return model


def test_the_grid_does_not_touch_the_model(notebook, drawn, model):
    grid = SampleGrid(rows=2, seed=3)
    grid.set_model(model)
    # Weights, spectral norms, the state of the noise.
    before = list(map(keras.ops.convert_to_numpy, model.variables))
    grid.on_train_begin()
    model.completed_epochs.assign(2)
    grid.on_epoch_end(1)
    grid.on_epoch_end(2)
    model.completed_epochs.assign(0)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    (first, _), (second, _) = drawn.grids
    np.testing.assert_array_equal(first, second)
    # Each row has noise of its own.
    assert not np.array_equal(first[0], first[1])


def test_wrong_labels_are_found_when_training_begins(notebook, model):
    grid = SampleGrid({"expression": [3]})
    grid.set_model(model)
    with pytest.raises(ValueError, match="must be class ids.* Received: 3"):
        grid.on_train_begin()


def read_events(folder):
    """Dict by tag of dicts by step of what TensorBoard would show."""
    found = {}
    for path in folder.glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                tag = found.setdefault(value.tag, {})
                tag[event.step] = tf.make_ndarray(value.tensor)
    return found


def test_tensorboard_shows_grids_and_joint_losses(tmp_path, model):
    pytest.importorskip("tensorboard")
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    labels = {"expression": np.array([0, 1], "int32")}
    dataset = tf.data.Dataset.from_tensors((images, labels))
    grids = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            grids.append(read_events(tmp_path / "grids").get("generated", {}))

    history = model.fit(
        dataset,
        validation_data=dataset,
        epochs=2,
        callbacks=[
            keras.callbacks.TensorBoard(tmp_path),
            SampleGrid(rows=2, log_dir=tmp_path / "grids"),
            Watch(),
        ],
        verbose=0,
    ).history
    # Each is there when its epoch ends; the first was the warm-up.
    assert [list(each) for each in grids] == [[], [1]]
    width, height, png = grids[1][1]
    assert Image.open(io.BytesIO(png)).size == (int(width), int(height))
    assert (int(width), int(height)) == (390, 290)

    # What Keras' own callback writes of the run needs no help.
    train = read_events(tmp_path / "train")
    for name in ("generator_joint_loss", "discriminator_loss", "loss"):
        written = train[f"epoch_{name}"]
        assert list(written) == [0, 1]
        np.testing.assert_allclose(
            list(written.values()), history[name], rtol=1e-6
        )
    validation = read_events(tmp_path / "validation")
    assert list(validation["epoch_expression_accuracy"]) == [0, 1]
