import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer.models import MultiTaskModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.tasks import CategoricalTask


def train(optimizer, steps=5):
    rng = np.random.default_rng(0)
    variables = [
        keras.Variable(rng.normal(size=shape).astype("float32"))
        for shape in ((3, 4), (4,), ())
    ]
    optimizer.build(variables)
    for _ in range(steps):
        gradients = [
            tf.constant(rng.normal(size=each.shape), tf.float32)
            for each in variables
        ]
        optimizer.apply(gradients, variables)
    return [np.asarray(each) for each in variables]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"weight_decay": 0.01, "clipnorm": 0.5},
    ],
)
def test_equals_keras_adam(options):
    options = {"epsilon": 1e-8, **options}
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 5)
    expected = train(keras.optimizers.Adam(schedule, **options))
    actual = train(FusedAdam(schedule, **options))
    for first, second in zip(expected, actual, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_serializes():
    optimizer = FusedAdam(0.02, beta_1=0.7)
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is FusedAdam
    assert again.get_config() == optimizer.get_config()


def test_has_no_amsgrad():
    with pytest.raises(ValueError, match="`amsgrad` must be False"):
        FusedAdam(amsgrad=True)


@pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="older Keras"
)
def test_a_model_has_one_learning_rate():
    inner = keras.optimizers.Adam()
    optimizer = keras.optimizers.MultiOptimizer(lambda variable: inner)
    encoder = Encoder([CategoricalTask("mood", 2)], (32, 32, 3), width=1 / 32)
    with pytest.raises(ValueError, match="`optimizer` must have one learning"):
        MultiTaskModel(encoder).compile(optimizer)
