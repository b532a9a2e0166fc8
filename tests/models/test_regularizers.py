import keras
import pytest
from keras import ops
from small_models import CASES, make_dataset, make_encoder

from keras_noisyfer.models import MultiTaskModel
from keras_noisyfer.regularizers import EarlyLearning, Regularizer

TASKS = CASES["expression_and_affect"]


@keras.saving.register_keras_serializable(package="tests")
class Decay(Regularizer):
    """A regularizer as a user writes one."""

    def __init__(self, power=2, strength=1.0, trained=False):
        super().__init__(strength)
        self.power = power
        self.trained = trained

    def build_for(self, tasks):
        self.count = self.add_weight(
            name="count",
            shape=(),
            initializer="zeros",
            trainable=self.trained,
        )

    def call(self, batch, outputs):
        self.count.assign_add(1.0)
        term = ops.abs(outputs["affect"]) ** self.power
        return ops.mean(term) if self.power > 1 else term


def test_an_own_regularizer_is_saved_without_more(tmp_path):
    model = MultiTaskModel(make_encoder(TASKS), regularizers=[Decay(3, 0.5)])
    model.compile(run_eagerly=True)
    logs = model.fit(make_dataset(TASKS), verbose=0).history
    assert logs["decay"][0] > 0
    model.save(tmp_path / "model.keras")
    (again,) = keras.saving.load_model(tmp_path / "model.keras").regularizers
    assert (again.power, again.strength) == (3, 0.5)
    assert float(again.count.value) == 2.0


def test_regularizers_that_cannot_work_are_refused():
    class Nameless(Decay):
        def __init__(self, other):
            super().__init__()

    for given, message in (
        (Decay(trained=True), "variables with trainable=False"),
        (Nameless(1), "must have its argument `other` as an attribute"),
    ):
        with pytest.raises(ValueError, match=message):
            MultiTaskModel(make_encoder(TASKS), regularizers=[given])
    model = MultiTaskModel(make_encoder(TASKS), regularizers=[Decay(1)])
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="'decay' must make a scalar"):
        model.fit(make_dataset(TASKS), verbose=0)
    nothing = Decay()
    nothing.call = lambda batch, outputs: None
    with pytest.raises(ValueError, match="make a scalar. Received: None"):
        nothing(None, None)
    with pytest.raises(ValueError, match="`name` must be a string.*: 3"):
        Regularizer(name=3)
    clashing = Decay()
    clashing.tracker = keras.metrics.Mean("loss")
    with pytest.raises(ValueError, match="other names .*Received: loss$"):
        MultiTaskModel(make_encoder(TASKS), regularizers=[clashing]).compile()


def test_regularizers_are_new_ones():
    used = EarlyLearning(4)
    MultiTaskModel(make_encoder(TASKS), regularizers=[used])
    for given, message in (
        ([used], "new ones for each model"),
        ([EarlyLearning(4), EarlyLearning(4)], "different names"),
        (["l2"], "must hold Regularizer objects"),
        (EarlyLearning(4), "must be a list of Regularizer objects"),
        (None, "must be a list of Regularizer objects. Received: None"),
    ):
        with pytest.raises(ValueError, match=message):
            MultiTaskModel(make_encoder(TASKS), regularizers=given)
