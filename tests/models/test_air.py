import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize

from keras_noisyfer.models.air import AIR
from keras_noisyfer.networks import Encoder
from keras_noisyfer.stochastic_admm import (
    StochasticADMM,
    group_norms,
    shrinkage,
)
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

CLASSES = 3
TASKS = [
    CategoricalTask("expression", CLASSES, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]


# === The solver ===


@pytest.fixture(scope="module")
def clusters():
    """Sparse features, each class with some of its own; a third of the
    labels wrong."""
    rng = np.random.default_rng(0)
    count, width = 90, 4
    truth = rng.integers(0, CLASSES, count)
    features = rng.uniform(0, 0.2, (count, CLASSES * width))
    features *= rng.random(features.shape) < 0.4
    for row, label in zip(features, truth, strict=True):
        row[label * width :][:width] += rng.uniform(0.5, 1.0, width)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    wrong = rng.random(count) < 1 / 3
    labels = (truth + wrong * rng.integers(1, CLASSES, count)) % CLASSES
    return features.astype("float32"), labels.astype("int32"), truth


def make_solver(features, labels, group_weight=10.0, weights=None, **kwargs):
    options = {"weight_decay": 0.0, "penalty": 10.0, "max_penalty": 100.0}
    if weights is None:
        weights = np.zeros((features.shape[1], CLASSES))
    return StochasticADMM(
        features, labels, weights, group_weight, **{**options, **kwargs}
    )


def solve(solver, steps, batch_size=None, seed=0):
    step = tf.function(solver.step)
    rng = np.random.default_rng(seed)
    features, labels = solver.features.numpy(), solver.labels.numpy()
    for _ in range(steps):
        rows = rng.permutation(len(labels))[:batch_size]
        step(tf.constant(features[rows]), tf.constant(labels[rows]))
    return solver.average.numpy()


def crossentropy_gradient(features, labels, weights):
    logits = features @ weights
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return features.T @ (probabilities - np.eye(CLASSES)[labels]) / len(labels)


def minimum(features, labels, group_weight, weight_decay):
    """The same problem through L-BFGS, its norms smoothed ever less."""
    x = features.astype("float64")
    scale = group_weight / (len(x) * CLASSES * np.sqrt((x != 0).sum(1)))

    def objective(flat, smoothing):
        w = flat.reshape(-1, CLASSES)
        norms = np.sqrt(x**2 @ w**2 + smoothing)
        logits = x @ w
        losses = np.log(np.exp(logits).sum(1))
        losses -= logits[np.arange(len(x)), labels]
        value = losses.mean() + weight_decay / (2 * CLASSES) * (w**2).sum()
        gradient = crossentropy_gradient(x, labels, w)
        gradient += weight_decay / CLASSES * w
        gradient += ((x**2).T @ (scale[:, None] / norms)) * w
        return value + (scale[:, None] * norms).sum(), gradient.ravel()

    flat = np.zeros(x.shape[1] * CLASSES)
    for smoothing in (1e-4, 1e-6, 1e-8, 1e-10, 1e-12):
        flat = minimize(
            objective,
            flat,
            args=(smoothing,),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 2000, "ftol": 1e-14, "gtol": 1e-9},
        ).x
    return objective(flat, 1e-30)[0], flat.reshape(-1, CLASSES)


def test_shrinkage_by_hand():
    np.testing.assert_allclose(
        shrinkage(tf.constant([2.0, 0.5, 0.25, 0.0]), 0.5), [0.75, 0, 0, 1]
    )
    # (3, 4) with threshold 1 loses 1 of its length 5.
    group = np.array([3.0, 4.0])
    kept = shrinkage(tf.constant([5.0]), 1.0).numpy()
    np.testing.assert_allclose(kept * group, [2.4, 3.2], rtol=1e-6)


def test_group_norms_by_hand():
    features = tf.constant([[3.0, 0.0, 1.0]])
    weights = tf.constant([[1.0, 0.0], [7.0, 7.0], [4.0, 0.0]])
    np.testing.assert_allclose(group_norms(features, weights), [[5.0, 0.0]])


def test_iterations_solve_their_subproblems(clusters):
    """Against ADMM with M and v written out, W from a linear system."""
    x, labels, _ = (each[:7] for each in clusters)
    count, width = x.shape
    group_weight, weight_decay, penalty = 4.0, 0.3, 10.0
    solver = make_solver(
        x,
        labels,
        group_weight,
        weight_decay=weight_decay,
        penalty=penalty,
        max_penalty=12.0,
    )
    x = x.astype("float64")
    m = np.concatenate([np.diag(row) for row in x])
    thresholds = group_weight / np.sqrt((x != 0).sum(1))
    w = np.zeros((width, CLASSES))
    v, u = m @ w, m @ w
    average = w
    for k, expected_penalty in enumerate([11.0, 12.0, 12.0], start=1):
        solver.step(tf.constant(clusters[0][:7]), tf.constant(labels))
        rate = 2 / (k + 2)
        penalty = min(1.1 * penalty, 12.0)
        assert float(solver.penalty) == pytest.approx(expected_penalty)
        gradient = CLASSES * crossentropy_gradient(x, labels, w)
        gradient = count * (gradient + weight_decay * w)
        w = np.linalg.solve(
            penalty * m.T @ m + np.eye(width) / rate,
            -gradient + m.T @ (penalty * v + u) + w / rate,
        )
        average = (1 - rate) * average + rate * w
        target = (m @ w - u / penalty).reshape(count, width, CLASSES)
        norms = np.linalg.norm(target, axis=1, keepdims=True)
        shrunk = np.maximum(norms - thresholds[:, None, None] / penalty, 0)
        v = (target * shrunk / norms).reshape(m.shape[0], CLASSES)
        u = u - penalty * (m @ w - v)
        np.testing.assert_allclose(solver.weights, w, atol=1e-4)
        np.testing.assert_allclose(solver.average, average, atol=1e-4)
        np.testing.assert_allclose(
            np.moveaxis(solver.multipliers.numpy(), 1, 2).reshape(u.shape),
            u,
            atol=1e-3,
        )


@pytest.mark.parametrize(
    ("group_weight", "weight_decay", "batch_size"),
    [(3.0, 0.01, None), (1.0, 0.0, None), (3.0, 0.01, 30)],
)
def test_reaches_the_minimum(clusters, group_weight, weight_decay, batch_size):
    x, labels, _ = clusters
    lowest, best = minimum(x, labels, group_weight, weight_decay)
    solver = make_solver(x, labels, group_weight, weight_decay=weight_decay)
    start = float(solver.objective())
    found = solve(solver, 500, batch_size)
    end = float(solver.objective())
    # Full batches descend without noise.
    tolerance = 2e-2 if batch_size else 5e-3
    assert lowest - 1e-5 <= end <= lowest + tolerance * (start - lowest) + 1e-5
    if batch_size is None:
        assert np.abs(found - best).max() < 0.1 * np.abs(best).max()


def test_starts_anew_where_it_ended(clusters):
    x, labels, _ = clusters
    _, best = minimum(x, labels, 3.0, 0.0)
    solver = make_solver(x, labels, 3.0, weights=best)
    solver.step(solver.features, solver.labels)
    zeros = make_solver(x, labels, 3.0)
    zeros.step(zeros.features, zeros.labels)
    moved = np.abs(solver.weights.numpy() - best).max()
    assert moved < 0.05 * np.abs(zeros.weights.numpy()).max()


def test_missing_labels_take_no_part(clusters):
    x, labels, _ = clusters
    given, partly = make_solver(x, labels), make_solver(x, labels)
    given.step(tf.constant(x[:20]), tf.constant(labels[:20]))
    partly.step(
        tf.constant(x[:30]), tf.constant(np.append(labels[:20], [-1] * 10))
    )
    np.testing.assert_allclose(given.weights, partly.weights, atol=1e-5)
    # Nor does a batch without any label, from zero weights.
    none = make_solver(x, np.full_like(labels, -1))
    none.step(none.features, none.labels)
    np.testing.assert_array_equal(none.weights, 0.0)


def test_norms_of_mislabelled_images_shrink(clusters):
    """A class leaves the features of images that wrongly bear its label."""
    x, labels, truth = clusters
    wrong = labels != truth

    def norms(weights):
        norms = group_norms(x, weights.astype("float32")).numpy()
        norms = norms[np.arange(len(x)), labels]
        return norms[wrong].mean(), norms[~wrong].mean()

    plain = solve(make_solver(x, labels, group_weight=0.0), 150, 30)
    wrong_before, right_before = norms(plain)
    # The regulariser starts from what plain training has made of the noise.
    solver = make_solver(x, labels, group_weight=3.0, weights=plain)
    objectives = [float(solver.objective())]
    for _ in range(3):
        solve(solver, 50, 30)
        objectives.append(float(solver.objective()))
    wrong_after, right_after = norms(solver.average.numpy())
    assert (np.diff(objectives) < 0).all()
    assert wrong_after < 0.3 * wrong_before
    # And more than those of rightly labelled images.
    assert wrong_after / right_after < 0.5 * wrong_before / right_before


# === The model ===


def make_data(count=24, clean=False):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, count).astype("int32")
    images = rng.uniform(-0.2, 0.2, (count, 32, 32, 3)).astype("float32")
    for image, label in zip(images, truth, strict=True):
        image[:, label * 10 : label * 10 + 10] += 0.8
    if clean:
        affect = rng.uniform(-1, 1, (count, 2)).astype("float32")
        return images, {"expression": truth, "affect": affect}
    labels = np.stack([truth, (truth + (truth == 0)) % CLASSES], axis=1)
    labels[:3, 1] = -1
    affect = rng.uniform(-1, 1, (count, 1, 2)).astype("float32")
    affect[0] = np.nan
    return images, {"expression": labels, "affect": affect}


def make_dataset(**kwargs):
    return tf.data.Dataset.from_tensor_slices(make_data(**kwargs)).batch(8)


@pytest.fixture(scope="module")
def trained():
    """A fitted model, its history and its encoder's weights before."""
    keras.utils.set_random_seed(0)
    encoder = Encoder(TASKS, (32, 32, 3), width=1 / 16, noise_code_size=5)
    before = encoder.get_weights()
    model = AIR(encoder, group_weight=1.0)
    model.compile()
    history = model.fit(
        make_dataset(),
        validation_data=make_dataset(clean=True),
        epochs=6,
        verbose=0,
    ).history
    return model, history, before


def test_fit_lowers_the_objective(trained):
    model, history, before = trained
    assert all(np.isfinite(each).all() for each in history.values())
    # log(3) for each of two annotators is where zero weights are.
    assert history["objective"][-1] < history["objective"][0]
    assert history["objective"][-1] < 2 * np.log(CLASSES) - 0.02
    assert {"loss", "expression_loss", "affect_ccc"} <= set(history)
    assert "val_expression_accuracy" in history
    assert "val_objective" not in history
    for first, second in zip(before, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert int(model.completed_epochs) == 6


def test_predicts_by_the_formula(trained):
    model, _, _ = trained
    images, _ = make_data(clean=True)
    predictions = model.predict(images, batch_size=8, verbose=0)
    embed = keras.Model(
        model.encoder.input, model.encoder.get_layer("dropout_2").output
    )
    x = embed(images, training=False).numpy()
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    kernel = model.heads["expression"].kernel.numpy()
    logits = np.einsum("bf,fak->bak", x, kernel)
    expected = tf.nn.softmax(logits).numpy().mean(axis=1)
    np.testing.assert_allclose(predictions["expression"], expected, atol=1e-5)
    # The continuous task keeps the encoder's head.
    affect = model.encoder(images, training=False)["labels"]["affect"][:, 0]
    np.testing.assert_allclose(
        predictions["affect"], np.clip(affect, -1, 1), atol=1e-6
    )
    norms = model.group_norms(images)["expression"]
    assert norms.shape == (24, 2, CLASSES)
    assert norms[5, 1, 2] == pytest.approx(
        np.linalg.norm(x[5] * kernel[:, 1, 2]), rel=1e-4, abs=1e-6
    )


def test_rejects_bad_input(trained):
    model, _, _ = trained

    def fails(message, **kwargs):
        with pytest.raises(ValueError, match=message) as error:
            AIR(model.encoder, **kwargs)
        assert "\n" not in str(error.value)

    fails("`group_weight` must be at least 0.*-1", group_weight=-1)
    fails("`weight_decay` must be at least 0", weight_decay=-0.1)
    fails("`penalty` must be above 0", penalty=0)
    fails("`max_penalty` must be at least 10", penalty=10, max_penalty=5)
    with pytest.raises(ValueError, match="`encoder` must be an Encoder"):
        AIR(5)
    continuous = Encoder(TASKS[1:], (32, 32, 3), width=1 / 16)
    with pytest.raises(ValueError, match="must have a CategoricalTask"):
        AIR(continuous)
    with pytest.raises(ValueError, match="`x` must be a finite data set"):
        model.fit(make_dataset().repeat(), verbose=0)
    with pytest.raises(ValueError, match="at least one batch"):
        model.fit(make_dataset().take(0), verbose=0)
    images, labels = make_data()
    with pytest.raises(ValueError, match="`validation_split` must .*: 0.5"):
        model.fit(images, labels, validation_split=0.5, verbose=0)
    with pytest.raises(ValueError, match="`x` must be a tf.data.Dataset or an"):
        model.fit(iter([(images, labels)]), verbose=0)
    for name in ("y", "sample_weight"):
        with pytest.raises(ValueError, match=f"`{name}` .*must be None where"):
            model.fit(make_dataset(), **{name: np.ones(8)}, verbose=0)
    with pytest.raises(ValueError, match="Images must have shape") as error:
        model.fit(images[:, :16], labels, verbose=0)
    assert "\n" not in str(error.value)
    labels["expression"][2, 1] = 9
    with pytest.raises(ValueError, match="task 'expression'.*Received: 9$"):
        model.fit(images, labels, verbose=0)


def test_trains_on_one_device(monkeypatch):
    monkeypatch.setattr(
        "keras_noisyfer.models.air.is_distributed", lambda: True
    )
    encoder = Encoder(TASKS, (32, 32, 3), width=1 / 16)
    with pytest.raises(RuntimeError, match="trains on one device"):
        AIR(encoder)
