import keras
import numpy as np
import pytest
from small_models import (
    CASES,
    changed,
    compiled,
    make_data,
    make_dataset,
    make_encoder,
    values,
)

from keras_noisyfer.models import JointDistributionGAN, MultiTaskModel
from keras_noisyfer.networks import Encoder


@pytest.mark.slow
@pytest.mark.smoke
def test_warmup_trains_plainly_then_adversarially():
    tasks = CASES["three_label_sets"]
    data = make_dataset(tasks, count=4)
    model = compiled(JointDistributionGAN(make_encoder(tasks), warmup_epochs=2))
    before = values(model.discriminator.trainable_variables)
    history = model.fit(data, epochs=2, verbose=0).history
    after = values(model.discriminator.trainable_variables)
    assert not any(changed(before, after))
    assert history["discriminator_loss"] == [0.0, 0.0]
    history = model.fit(data, epochs=1, verbose=0).history
    assert history["discriminator_loss"][0] > 0.0
    assert int(model.completed_epochs) == 3


@pytest.mark.slow
def test_warmup_ends_within_one_fit():
    tasks = CASES["three_label_sets"]
    model = compiled(
        JointDistributionGAN(make_encoder(tasks), warmup_epochs=1),
        run_eagerly=False,
    )
    history = model.fit(make_dataset(tasks), epochs=3, verbose=0).history
    losses = history["discriminator_loss"]
    assert losses[0] == 0.0 and losses[1] > 0.0 and losses[2] > 0.0


def test_warmup_equals_plain_training():
    tasks = CASES["expression_and_affect"]

    def weights(model_class, **kwargs):
        keras.utils.set_random_seed(5)
        model = compiled(model_class(make_encoder(tasks), **kwargs))
        model.fit(make_dataset(tasks), epochs=2, verbose=0)
        return values(model.encoder.trainable_variables)

    plain = weights(MultiTaskModel)
    warm = weights(JointDistributionGAN, warmup_epochs=2)
    for first, second in zip(plain, warm, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.slow
@pytest.mark.smoke
def test_is_built_and_made_again_from_its_config(tmp_path):
    tasks = CASES["three_label_sets"]
    model = compiled(
        JointDistributionGAN(make_encoder(tasks), use_decoder=False)
    )
    assert model.count_params() > model.encoder.count_params()
    again = JointDistributionGAN.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    encoder = Encoder.from_config(model.encoder.get_config())
    assert encoder.tasks == model.tasks
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    model.fit(make_dataset(tasks, count=4), callbacks=[backup], verbose=0)
    images, labels = make_data(tasks, count=4)
    model.fit(images, labels, batch_size=4, verbose=0)
    assert int(model.completed_epochs) == 2
