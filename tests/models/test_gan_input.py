import numpy as np
import pytest
import tensorflow as tf
from small_models import (
    CASES,
    SHAPE,
    compiled,
    make_data,
    make_encoder,
)

from keras_noisyfer.models import JointDistributionGAN, MultiTaskModel
from keras_noisyfer.networks import Decoder, Discriminator


def test_rejects_arguments():
    tasks = CASES["three_label_sets"]
    encoder = make_encoder(tasks)

    def fails(message, **kwargs):
        with pytest.raises(ValueError, match=message):
            JointDistributionGAN(encoder, **kwargs)

    fails("`lambda_joint` must be at least 0.*-1", lambda_joint=-1)
    fails("`gamma` must be at least 0", gamma=-0.1)
    fails("`discriminator_steps` must be at least 1", discriminator_steps=0)
    fails("`warmup_epochs` must be at least 0", warmup_epochs=-1)
    fails("`warmup_epochs`.*an integer.*1.5", warmup_epochs=1.5)
    fails("`lambda_joint`.*finite number.*nan", lambda_joint=float("nan"))
    fails("`score_weights` must be a dict", score_weights=[1])
    fails("`discriminator` must be a Discriminator", discriminator=5)
    with pytest.raises(ValueError, match="`encoder` must be an Encoder"):
        JointDistributionGAN(5)
    fails("`consensus` must be", consensus="median")
    fails("`score_weights` may only", score_weights={"joy": 1})
    fails(
        "must leave at least one score",
        use_joint_score=False,
        use_marginal_scores=False,
    )
    other = CASES["single_task"]
    fails(
        "`decoder` must have the encoder's tasks",
        decoder=Decoder(other, (32, 32, 3), **SHAPE),
    )
    fails(
        "`discriminator` must have the encoder's noise_code_size",
        discriminator=Discriminator(tasks, (32, 32, 3), width=1 / 16),
    )
    fails(
        "`decoder` must be None",
        decoder=Decoder(tasks, (32, 32, 3), **SHAPE),
        use_decoder=False,
    )


@pytest.mark.parametrize("run_eagerly", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, :16], y), r"shape \(batch_size, 32, 32, 3\)"),
        (lambda x, y: (x.astype("uint8"), y), "Images must be floating"),
        (lambda x, y: (x * 255, y), r"Images must be in \[-1, 1\]. Recei.*2"),
        (lambda x, y: (x, {"mood": y["pain"]}), "exactly the keys"),
        (lambda x, y: (x, {"pain": y["pain"][..., [0, 0]]}), "must have shape"),
        (lambda x, y: (x, {"pain": y["pain"] + 3}), r"task 'pain'.*ved: [2-4]"),
        (lambda x, y: (x[:1], {"pain": y["pain"][:1]}), "'pain'.*Received: 1$"),
        (lambda x, y: (x, y, np.ones((8, 2))), "`sample_weight` must be num"),
        (lambda x, y: (x, y, np.full(8, -1)), "at least 0. Received: -1$"),
        (lambda x, y: (x, y, np.full(8, np.inf)), "finite .* Received: inf$"),
        (lambda x, y: ({"images": x}, y), "keys 'image' and 'index'"),
        (
            lambda x, y: ({"image": x, "index": np.ones(8)}, y),
            "'index' must be integers",
        ),
        (lambda x, y: (x, y["pain"]), "dict of labels .*float32 of shape"),
    ],
)
def test_rejects_batches(change, message, run_eagerly):
    tasks = CASES["single_task"]
    model = compiled(MultiTaskModel(make_encoder(tasks)), run_eagerly)
    batch = change(*make_data(tasks))
    data = tf.data.Dataset.from_tensor_slices(batch).batch(8)
    with pytest.raises(ValueError, match=message) as error:
        model.fit(data, verbose=0)
    assert "\n" not in str(error.value)


def test_rejects_class_ids_and_images_to_predict():
    tasks = CASES["three_label_sets"]
    model = compiled(MultiTaskModel(make_encoder(tasks)), run_eagerly=False)
    images, labels = make_data(tasks)
    labels["object"][2, 1] = 9
    with pytest.raises(ValueError, match="task 'object'.*Received: 9$"):
        model.evaluate(images, labels, verbose=0)
    with pytest.raises(ValueError, match="Images must be in .* Received: "):
        model.predict(images * 255, verbose=0)
    with pytest.raises(ValueError, match="Images must be floating"):
        model.predict(images.astype("uint8"), verbose=0)


def test_generate_rejects_labels():
    tasks = CASES["expression_and_affect"]
    model = JointDistributionGAN(make_encoder(tasks))
    affect = np.zeros((2, 2), "float32")
    for labels, message in (
        ({"expression": np.array([0, 7]), "affect": affect}, "Received: 7"),
        ({"expression": np.array([0, -1]), "affect": affect}, "Received: -1"),
        ({"expression": np.array([0]), "affect": affect}, "as many entries"),
        ({"expression": np.array([0, 1])}, "exactly the keys"),
    ):
        with pytest.raises(ValueError, match=message):
            model.generate(labels)
