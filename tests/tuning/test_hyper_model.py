import keras
import keras_tuner
import numpy as np
import pytest
from search import TASKS, make_data, make_hypermodel

from keras_noisyfer import CategoricalTask, ContinuousTask
from keras_noisyfer.tuning.hyper_model import JointDistributionHyperModel
from keras_noisyfer.tuning.search_space import check_values, list_points

BOTH = [*TASKS, ContinuousTask("affect", ("valence", "arousal"))]


def test_builds_what_the_hyperparameters_say():
    hypermodel = make_hypermodel(
        BOTH,
        lambda_joint=(0.1, 0.3),
        gamma=2.5,
        width=[1 / 16, 1 / 8],
        discriminator_steps=(1, 3),
        discriminator_learning_rate=1,
        encoder_options={"batch_normalization": True},
    )
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    assert hp.values == {
        "lambda_joint": 0.1,
        "gamma": 2.5,
        "width": 1 / 16,
        "learning_rate": 1e-3,
        "warmup_epochs": 9,
        "discriminator_steps": 1,
    }
    assert (model.lambda_joint, model.gamma) == (0.1, 2.5)
    assert model.encoder.width == 1 / 16
    assert model.discriminator_steps == 1 and model.warmup_epochs == 9
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    # An integer will do.
    assert float(model.discriminator_optimizer.learning_rate) == 1
    assert "normalization" in str(model.encoder.get_layer(index=2).name)
    space = {each.name: each for each in hp.space}
    assert space["lambda_joint"].sampling == "log"
    assert space["discriminator_steps"].max_value == 3
    # The same initial weights in each trial.
    again = hypermodel.build(keras_tuner.HyperParameters())
    for first, second in zip(
        model.encoder.variables[:4], again.encoder.variables[:4], strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_each_trial_has_a_backbone_of_its_own():
    normalization = keras.layers.Normalization(axis=None)
    backbone = keras.Sequential(
        [keras.Input((32, 32, 3)), normalization, keras.layers.Conv2D(3, 3)]
    )
    normalization.adapt(np.array([0.2, 0.6]).reshape(2, 1, 1, 1))
    hypermodel = make_hypermodel(BOTH, encoder_options={"backbone": backbone})
    models = [hypermodel.build(keras_tuner.HyperParameters()) for _ in "ab"]
    copies = [each.encoder.backbone for each in models]
    assert len({id(each) for each in (*copies, backbone)}) == 3
    images = np.ones((1, 32, 32, 3), "float32")
    for each in copies:
        # What it was adapted to as well.
        np.testing.assert_array_equal(each(images), backbone(images))


def test_switches_can_be_chosen():
    check_values("batch_normalization", [True, False])
    points = list_points({"batch_normalization": [True, False]}, 9)
    assert [each["batch_normalization"] for each in points] == [True, False]


def test_gamma_is_fixed_without_continuous_tasks():
    hp = keras_tuner.HyperParameters()
    make_hypermodel(gamma=(0.1, 10)).build(hp)
    assert hp.values["gamma"] == 1.0


@pytest.mark.slow
@pytest.mark.smoke
def test_fits_on_noisy_labels_and_logs_the_objectives():
    hypermodel = make_hypermodel()
    hp = keras_tuner.HyperParameters()
    history = hypermodel.fit(
        hp, hypermodel.build(hp), epochs=1, verbose=0
    ).history
    assert {
        "val_consensus_loss",
        "joint_loss_distance",
        "val_annotator_agreement",
    } <= set(history)
    assert history["joint_loss_distance"] == pytest.approx([2.6 + 0.45])
    assert 0 <= history["val_annotator_agreement"][0] <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lambda_joint": -1}, "`lambda_joint` must be at least 0"),
        ({"lambda_joint": (1, 0.1)}, "`lambda_joint` must be a range"),
        ({"lambda_joint": []}, "`lambda_joint` must be a number, a range"),
        ({"gamma": (0, 1, 2)}, "`gamma` must be a number, a range"),
        ({"discriminator_steps": [1, 1.5]}, "`discriminator_steps`.*integer"),
        (
            {"discriminator_learning_rate": 0},
            "`discriminator_learning_rate` must be above 0",
        ),
        ({"targets": (1,)}, "`targets` must be the joint losses"),
        ({"targets": 3}, "`targets` must be the joint losses.*: 3"),
        ({"targets": ("a", "b")}, "`targets` must be"),
        ({"seed": None}, "`seed` must be"),
        ({"augmentation": 3}, "`augmentation` must be a function"),
        ({"encoder_options": 3}, "`encoder_options` must be a dict.*: 3"),
        (
            {"encoder_options": {"width": 1}},
            "`encoder_options` must be .* without image_shape, tasks, width",
        ),
    ],
)
def test_rejects_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        make_hypermodel(BOTH, **change)


def test_choices_may_be_of_several_types():
    hypermodel = make_hypermodel(
        BOTH, lambda_joint=[0.1, "auto"], gamma=[1, 0.5], width=[1 / 16]
    )
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    assert (model.lambda_joint, model.gamma) == (0.1, 1.0)
    assert hp.space[0].values == ["0.1", "auto"]
    hp.values |= {"lambda_joint": "auto", "gamma": 0.5}
    model = hypermodel.build(hp)
    assert (model.get_config()["lambda_joint"], model.gamma) == ("auto", 0.5)


def test_rejects_validation_data_of_other_tasks():
    other = make_data(tasks=[CategoricalTask("mood", 3, annotators=2)])
    with pytest.raises(ValueError, match="`validation_data` must have the ta"):
        JointDistributionHyperModel(make_data(), other)
