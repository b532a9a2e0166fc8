import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer import (
    CategoricalTask,
    ChiefModelCheckpoint,
    Encoder,
    MultiTaskModel,
    ResumeTraining,
)


@pytest.mark.parametrize("chief", [True, False])
@pytest.mark.parametrize("save_freq", ["epoch", 2])
def test_the_chief_alone_writes(chief, save_freq, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_noisyfer.checkpoints.is_chief", lambda: chief)
    task = CategoricalTask("mood", 3)
    model = MultiTaskModel(Encoder([task], (32, 32, 3), width=1 / 32))
    model.compile(run_eagerly=True)
    path = tmp_path / "{epoch}.keras"
    model.fit(
        np.zeros((4, 32, 32, 3), "float32"),
        {"mood": np.array([0, 1, 2, -1])},
        batch_size=2,
        epochs=2,
        callbacks=[ChiefModelCheckpoint(path, save_freq=save_freq)],
        verbose=0,
    )
    files = sorted(each.name for each in tmp_path.iterdir())
    assert files == (["1.keras", "2.keras"] if chief else [])
    if chief:
        again = keras.saving.load_model(tmp_path / "2.keras")
        for first, second in zip(
            again.encoder.weights, model.encoder.weights, strict=True
        ):
            np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_goes_on_with_what_a_layer_was_adapted_to(tmp_path):
    task = CategoricalTask("mood", 3)
    images = np.full((2, 32, 32, 3), 0.5, "float32")
    data = tf.data.Dataset.from_tensors((images, {"mood": np.array([0, 1])}))

    def train(adapt):
        rescaling = keras.layers.Normalization(axis=None)
        inputs = keras.Input((32, 32, 3))
        backbone = keras.Model(inputs, rescaling(inputs))
        if adapt:
            rescaling.adapt(images + [[[[0.1]]], [[[0.3]]]])
        model = MultiTaskModel(Encoder([task], (32, 32, 3), backbone=backbone))
        model.compile(run_eagerly=True)
        resume = ResumeTraining(tmp_path / "state.npz")
        model.fit(data, callbacks=[resume], verbose=0)
        return model.encoder(images)["features"]

    adapted = train(adapt=True)
    np.testing.assert_array_equal(train(adapt=False), adapted)
