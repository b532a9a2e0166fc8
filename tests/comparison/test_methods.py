import keras
import numpy as np
import pytest
from common import in_smoke

from keras_noisyfer import noise
from keras_noisyfer.comparison import methods
from keras_noisyfer.comparison.methods import (
    METHODS,
    make_model,
    method_data,
)
from keras_noisyfer.comparison.training import (
    prepare_training,
    train_method,
)
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.losses import SparseSymmetricCrossentropy
from keras_noisyfer.models import (
    AIR,
    JointDistributionGAN,
    LTNet,
    MultiTaskModel,
)
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TASKS = [
    CategoricalTask("expression", 3, annotators=3),
    ContinuousTask("affect", ("valence", "arousal"), annotators=2),
]
NOISY = {
    "expression": np.array([[0, 0, 1], [2, 1, 1], [-1, 2, 2], [0, 0, 0]]),
    "affect": np.array(
        [[[0.2, 0.0], [0.4, -0.2]], [[np.nan, np.nan], [1.0, 1.0]]] * 2,
        "float32",
    ),
}
CLEAN = {
    "expression": np.array([0, 1, 2, 0]),
    "affect": np.zeros((4, 2), "float32"),
}


def data(repeats=1, clean=CLEAN):
    def repeat(labels):
        return {n: np.concatenate([a] * repeats) for n, a in labels.items()}

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * repeats, 32, 32, 3)).astype("uint8")
    return LabelledImages(
        ImageArray(images), repeat(NOISY), TASKS, repeat(clean)
    )


def test_labels_of_the_methods():
    given = data()
    for method in ("vggnet", "proposed"):
        assert method_data(method, given) is given
    vote = method_data("majority-vote", given)
    assert [task.annotators for task in vote.tasks] == [1, 1]
    np.testing.assert_array_equal(
        vote.labels["expression"], [[0], [1], [2], [0]]
    )
    np.testing.assert_allclose(
        vote.labels["affect"][:2, 0], [[0.3, -0.1], [1.0, 1.0]], atol=1e-6
    )
    clean = method_data("vggnet-clean", given)
    np.testing.assert_array_equal(
        clean.labels["expression"][:, 0], CLEAN["expression"]
    )


def test_rejects_methods():
    with pytest.raises(ValueError, match="`method` must be one of.*'gan'"):
        method_data("gan", data())
    expression = {"expression": CLEAN["expression"]}
    with pytest.raises(ValueError, match="clean labels of every.*affect"):
        method_data("vggnet-clean", data(clean=expression))
    unknown = {**CLEAN, "expression": np.full_like(CLEAN["expression"], -1)}
    with pytest.raises(ValueError, match="clean labels of every.*expression"):
        method_data("vggnet-clean", data(clean=unknown))


def test_says_which_package_a_method_needs(monkeypatch):
    monkeypatch.setattr(methods.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"'dawid-skene' needs.*\[crowd\]"):
        method_data("dawid-skene", data())
    assert method_data("vggnet", data()).tasks == tuple(TASKS)


def test_methods_start_from_the_same_encoder():
    weights = []
    for method in ("vggnet", "co-teaching", "proposed"):
        keras.utils.set_random_seed(4)
        model = make_model(method, data(), (32, 32, 3), width=1 / 16)
        weights.append(model.encoder.get_weights())
    assert isinstance(model, JointDistributionGAN)
    for first, *others in zip(*weights, strict=True):
        for other in others:
            np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize(
    "method, kind",
    [
        in_smoke("air", AIR),
        ("ltnet", LTNet),
        ("elr", MultiTaskModel),
        in_smoke("without-decoder", JointDistributionGAN),
    ],
)
def test_methods_train_on_both_kinds_of_task(method, kind, eagerly):
    given = data(repeats=2)
    model, history = train_method(
        method,
        given,
        None,
        batch_size=4,
        learning_rate=1e-3,
        width=1 / 16,
        verbose=0,
    )
    assert isinstance(model, kind)
    assert np.isfinite(history.history["loss"]).all()
    # Whatever a method makes of the annotators, it predicts one label.
    predicted = model.predict(given.batches(batch_size=8), verbose=0)
    assert predicted["expression"].shape == (8, 3)
    assert predicted["affect"].shape == (8, 2)
    if method == "air":
        assert len(history.history["objective"]) > 1


def test_noise_rate_needs_no_clean_labels():
    labels = np.array([[0, 0, 1], [1, 1, 1], [2, 2, -1], [0, 1, 1]])
    task = CategoricalTask("expression", 3, annotators=3)
    images = ImageArray(np.zeros((4, 32, 32, 3), "uint8"))
    given = LabelledImages(images, {"expression": labels}, [task])
    # The third image has two labels. Of the other three, the first annotator
    # is outvoted once, and so is the third.
    rates = noise.estimate_noise_rates(labels, 3)
    np.testing.assert_allclose(rates, [1 / 3, 0, 1 / 3])
    model = make_model("co-teaching", given, (32, 32, 3), width=1 / 16)
    assert model.forget_rate == pytest.approx(2 / 9)
    single = given.with_labels({"expression": labels[:, :1]})
    assert np.isnan(noise.estimate_noise_rates(labels[:, :1], 3)).all()
    model = make_model("co-teaching", single, (32, 32, 3), width=1 / 16)
    assert model.forget_rate == 0.2


@pytest.mark.parametrize(
    "options, message",
    [
        ({"title": 3}, "`title` must be a string. Received: 3"),
        ({"loss": SparseSymmetricCrossentropy()}, "`loss` must be a class of"),
        ({"loss": "sce"}, "`loss` must be a class of .* 'sce'"),
        ({"labels": "clean"}, "`labels` must be a function of .*'clean'"),
        ({"labels": lambda data: data}, "must be a function of data, seed"),
        ({"options": ["width"]}, "`options` must be one of .*: 'width'"),
    ],
)
def test_what_cannot_be_a_method_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        methods.method("own", **{"title": "Own", **options})(print)
    with pytest.raises(ValueError, match="`make_model` must be a function"):
        methods.method("own", "Own")("text")
    with pytest.raises(ValueError, match="function of encoder, data, options"):
        methods.method("own", "Own")(lambda encoder, data: None)
    assert "own" not in METHODS


def test_losses_of_the_robust_methods():
    losses = {
        method: METHODS[method].make_losses(TASKS)
        for method in ("vggnet", "sce", "gce", "sce-mixup", "gce-mixup")
    }
    assert losses.pop("vggnet") == {}
    assert {k: each["expression"].name for k, each in losses.items()} == {
        "sce": "sparse_symmetric_crossentropy",
        "gce": "sparse_generalized_crossentropy",
        "sce-mixup": "sparse_symmetric_crossentropy",
        "gce-mixup": "sparse_generalized_crossentropy",
    }
    for method in ("mixup", "sce-mixup", "gce-mixup"):
        model = make_model(method, data(), (32, 32, 3), width=1 / 16)
        assert model.mixup.alpha == 0.4


@pytest.mark.parametrize("use_ema", [False, True])
def test_both_optimizers_average_the_weights(use_ema):
    options = {"width": 1 / 16, "use_ema": use_ema, "batch_size": 2}
    model, _, _ = prepare_training("proposed", data(), **options)
    optimizers = model.optimizer, model.discriminator_optimizer
    assert [each.use_ema for each in optimizers] == [use_ema] * 2


def test_the_discriminator_has_moments_of_its_own():
    options = {"width": 1 / 16, "batch_size": 2, "discriminator_beta_1": 0.5}
    model, _, _ = prepare_training("proposed", data(), **options)
    assert model.optimizer.beta_1 == 0.9
    assert model.discriminator_optimizer.beta_1 == 0.5


@pytest.mark.parametrize(
    "name, value",
    [
        ("discriminator_beta_1", 1),
        ("discriminator_beta_1", "a"),
        ("discriminator_learning_rate", 0),
    ],
)
def test_what_the_discriminator_cannot_have_is_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .*: '?{value}"):
        prepare_training("proposed", data(), width=1 / 16, **{name: value})


def test_ablations_switch_parts_of_the_joint_model_off():
    for method, switch in (
        ("without-joint", "use_joint_score"),
        ("without-marginal", "use_marginal_scores"),
        ("without-decoder", "use_decoder"),
    ):
        model = make_model(method, data(), (32, 32, 3), width=1 / 16)
        switches = ("use_joint_score", "use_marginal_scores", "use_decoder")
        assert [s for s in switches if not getattr(model, s)] == [switch]
    assert len({each.title for each in METHODS.values()}) == len(METHODS)


@pytest.mark.slow
@pytest.mark.smoke
def test_training_repeats_with_the_seed(eagerly):
    given = data(repeats=2)
    test_data = given.with_labels(given.clean).batches(batch_size=8)

    def losses(seed):
        _, history = train_method(
            "vggnet",
            given,
            test_data,
            epochs=2,
            batch_size=4,
            learning_rate=1e-3,
            decay=True,
            seed=seed,
            width=1 / 16,
            verbose=0,
        )
        return history.history["loss"]

    keras.utils.set_random_seed(99)
    first = losses(1)
    np.testing.assert_allclose(first, losses(1), rtol=1e-4)
    assert abs(first[0] - losses(2)[0]) > 1e-3


def test_a_method_of_ones_own_is_one_registration(monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(METHODS))

    @methods.method(
        "smooth",
        "Smooth",
        loss=SparseSymmetricCrossentropy,
        options=["strength"],
    )
    def smooth(encoder, data, options):
        assert options == {"gamma": 2.0, "seed": 0, "strength": 1.0}
        return MultiTaskModel(encoder, options["gamma"])

    options = {"gamma": 2.0, "strength": 1.0, "width": 1 / 16}
    model, _, epochs = prepare_training("smooth", data(), **options)
    assert isinstance(
        model.loss_by_task["expression"], SparseSymmetricCrossentropy
    )
    assert epochs == 1
    with pytest.raises(ValueError, match="`key` must be another.*'smooth'$"):
        methods.method("smooth", "Smooth")(lambda *arguments: None)
    # Run again, a cell of a notebook replaces what it has registered.
    methods.method("smooth", "Smoother")(smooth)
    assert methods.METHODS["smooth"].title == "Smoother"
    with pytest.raises(ValueError, match="smooth"):
        methods.check_method("smoth")
    for key in ("../up", "", "a b", 3):
        with pytest.raises(ValueError, match="`key` must be lowercase"):
            methods.method(key, "Up")(smooth)
    methods.method("none", "None")(lambda *arguments: None)
    with pytest.raises(ValueError, match="'none' must make a MultiTaskModel"):
        prepare_training("none", data(), width=1 / 16)
