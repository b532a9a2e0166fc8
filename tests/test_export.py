import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer import (
    CategoricalTask,
    ContinuousTask,
    Encoder,
    JointDistributionGAN,
    export_saved_model,
)

TASKS = [
    CategoricalTask("expression", 7, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]


@pytest.fixture(scope="module")
def model():
    return JointDistributionGAN(Encoder(TASKS, (32, 32, 3), width=1 / 16))


def test_serves_what_the_model_predicts(model, tmp_path):
    export_saved_model(model, tmp_path / "faces" / "1")
    served = tf.saved_model.load(str(tmp_path / "faces" / "1"))
    signature = served.signatures["serving_default"]
    rng = np.random.default_rng(0)
    for count in (1, 3):
        images = rng.integers(0, 256, (count, 32, 32, 3)).astype("uint8")
        outputs = signature(image=tf.constant(images))
        expected = model.predict(
            images.astype("float32") / 127.5 - 1, verbose=0
        )
        assert set(outputs) == {"expression", "affect"}
        for name, values in expected.items():
            np.testing.assert_allclose(outputs[name], values, atol=1e-4)
    # Any size is scaled to the encoder's.
    large = tf.zeros((2, 70, 50, 3), tf.uint8)
    assert signature(image=large)["expression"].shape == (2, 7)
    # The encoder alone is there.
    weights = sum(int(np.prod(each.shape)) for each in served.variables)
    # And the seeds of its dropout.
    assert 0 <= weights - model.encoder.count_params() <= 4


def test_overwrites_nothing_and_leaves_nothing_half_written(model, tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match="`path` must not exist yet"):
        export_saved_model(model, tmp_path / "1")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="`model` must be a MultiTaskClass"):
        export_saved_model(model.encoder, tmp_path / "2")
    with pytest.raises(ValueError, match="`path` must be in a folder"):
        export_saved_model(model, tmp_path / "file" / "1")

    def fail(*args, **kwargs):
        raise OSError("full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.replace", fail)
        with pytest.raises(OSError, match="full"):
            export_saved_model(model, tmp_path / "2")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1", "file"]
    (tmp_path / "1" / "old").write_text("")
    export_saved_model(model, tmp_path / "1", overwrite=True)
    assert not (tmp_path / "1" / "old").exists()
    assert (tmp_path / "1" / "saved_model.pb").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1", "file"]
