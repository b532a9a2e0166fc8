"""What holds for the networks and the objective, whatever the tasks, the
size of the images, the number of images and the labels that are missing.

Building networks takes a second: few structures, each asked everything.
"""

import keras
import numpy as np
import pytest
from gradients import differentiate
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from keras import ops
from label_strategies import array, generators, labels_of, task_lists

from keras_noisyfer.batches import Batch, label_tuples
from keras_noisyfer.labels import label_streams
from keras_noisyfer.models import JointDistributionGAN
from keras_noisyfer.networks import IMAGE_SIZES, Encoder
from keras_noisyfer.tasks import CategoricalTask

pytestmark = [pytest.mark.slow, pytest.mark.smoke]

CODE_SIZE = 5
# Shrinking would build a network a step.
FEW = settings(max_examples=3, phases=[Phase.generate])
# A convolution sums in another order in another batch.
TOLERANCE = {"rtol": 1e-3, "atol": 1e-5}


@st.composite
def plans(draw, sizes=IMAGE_SIZES):
    """Arguments of `build`."""
    tasks = draw(task_lists())
    count = draw(st.sampled_from([1, 2, 3, 5]))
    size = draw(st.sampled_from(sizes))
    return {
        "tasks": tasks,
        "shape": (count, size, size, draw(st.sampled_from([1, 3]))),
        "drawn": {task.name: draw(labels_of(task, count)) for task in tasks},
        "rng": draw(generators()),
        "use_decoder": draw(st.booleans()),
        "use_joint_score": draw(st.booleans()),
        "lambda_joint": draw(st.sampled_from([0.0, 0.4, 2.0])),
        "gamma": draw(st.sampled_from([0.0, 1.0, 10.0])),
    }


def build(tasks, shape, drawn, rng, **options):
    """A model, images, labels, which of them are missing, and noise."""
    keras.utils.set_random_seed(int(rng.integers(2**31)))
    encoder = Encoder(
        tasks,
        shape[1:],
        width=1 / 32,
        noise_code_size=CODE_SIZE,
        dropout=0.0,
    )
    model = JointDistributionGAN(encoder, **options)
    images = rng.uniform(-1, 1, shape).astype("float32")
    labels = {name: each[0].copy() for name, each in drawn.items()}
    missing = {name: each[1].copy() for name, each in drawn.items()}
    noise = rng.normal(size=(2, len(images), CODE_SIZE)).astype("float32")
    return model, images, labels, missing, noise


def predict(model, images):
    outputs = model.encoder(images, training=False)
    return model.predict_consensus(outputs["labels"])


def objective(model, images, labels, noise):
    """Both losses on a batch, and the tuples that they compare."""
    images = ops.convert_to_tensor(images)
    noise = ops.convert_to_tensor(noise)
    batch = Batch(images, labels)
    outputs, encoded, decoded = model.make_tuples(batch, *noise, training=False)
    joint, _ = model.generator_joint_loss(encoded, decoded, training=False)
    discriminator = model.discriminator_loss(encoded, decoded, training=False)
    own = model.tracked_loss(batch, outputs["labels"])
    return (joint, discriminator, own), outputs, encoded, decoded


@FEW
@given(plans())
def test_shapes_and_finite_losses(plan):
    model, images, labels, missing, noise = build(**plan)
    count = len(images)
    losses, outputs, encoded, decoded = objective(model, images, labels, noise)
    for loss in losses:
        assert loss.shape == () and np.isfinite(array(loss))
    # Without a decoder both tuples have the images.
    assert ("image" in decoded) == plan["use_decoder"]
    decoded_images = array(decoded.get("image", encoded["image"]))
    assert decoded_images.shape == images.shape
    assert np.abs(decoded_images).max() <= 1
    for task in model.tasks:
        shape = (count, task.annotators, task.num_outputs)
        for each in (outputs, encoded, decoded):
            values = array(each["labels"][task.name])
            assert values.shape == shape and np.isfinite(values).all()
        # Where a label is missing both tuples hold the same.
        hidden = np.broadcast_to(
            missing[task.name].reshape(count, task.annotators, -1), shape
        )
        np.testing.assert_array_equal(
            array(encoded["labels"][task.name])[hidden],
            array(decoded["labels"][task.name])[hidden],
        )
    scores = model.discriminator(encoded)
    names = [*model.discriminator.score_names]
    assert scores.shape == (count, len(names))
    assert len(names) == 3 + len(label_streams(model.tasks))


@FEW
@given(plans(sizes=(32, 48, 64, 96)))
def test_predictions_follow_their_images(plan):
    model, images, labels, _, noise = build(**plan)
    rng = plan["rng"]
    order = rng.permutation(len(images))
    predictions = predict(model, images)
    moved = predict(model, images[order])
    single = predict(model, images[:1])
    for task in model.tasks:
        prediction = array(predictions[task.name])
        assert prediction.shape == (len(images), task.num_outputs)
        if isinstance(task, CategoricalTask):
            np.testing.assert_allclose(prediction.sum(-1), 1, rtol=1e-5)
        np.testing.assert_allclose(
            array(moved[task.name]), prediction[order], **TOLERANCE
        )
        # Whatever else is in the batch.
        np.testing.assert_allclose(
            array(single[task.name]), prediction[:1], **TOLERANCE
        )
    losses = objective(model, images, labels, noise)[0]
    labels = {name: each[order] for name, each in labels.items()}
    moved = objective(model, images[order], labels, noise[:, order])[0]
    for first, second in zip(losses, moved, strict=True):
        np.testing.assert_allclose(array(second), array(first), **TOLERANCE)


@FEW
@given(plans(sizes=(32, 48)))
def test_missing_labels_teach_nothing(plan):
    """The heads of label streams without a label get no gradient at all, and
    all others none from a missing label's prediction."""
    model, images, labels, missing, noise = build(**plan)
    rng = plan["rng"]
    task = model.tasks[rng.integers(len(model.tasks))]
    silent = rng.integers(task.annotators)
    labels[task.name][:, silent] = (
        -1 if isinstance(task, CategoricalTask) else np.nan
    )
    missing[task.name][:, silent] = True
    head = model.encoder.get_layer("label_streams")

    images, noise = map(ops.convert_to_tensor, (images, noise))

    def generator_loss():
        batch = Batch(images, labels)
        outputs, encoded, decoded = model.make_tuples(
            batch, *noise, training=False
        )
        return model.generator_loss(batch, outputs, encoded, decoded), outputs

    (loss, outputs), _, gradients = differentiate(
        generator_loss, variables=[head.kernel, head.bias]
    )
    assert np.isfinite(array(loss))
    begin = 0
    for stream in label_streams(model.tasks):
        columns = slice(begin, begin + stream.num_outputs)
        begin = columns.stop
        if (stream.task, stream.annotator) == (task.name, silent):
            for gradient in gradients:
                assert (array(gradient)[..., columns] == 0).all()
    for gradient in gradients:
        assert np.isfinite(array(gradient)).all()

    # The raw outputs themselves, label by label.
    names = [each.name for each in model.tasks]
    raw = [array(outputs["labels"][name]) for name in names]

    def tuple_of(*raw):
        raw = dict(zip(names, raw, strict=True))
        streams, _, _ = label_tuples(model.tasks, Batch(images, labels), raw)
        return sum(ops.sum(ops.square(each)) for each in streams.values()), None

    _, gradients, _ = differentiate(tuple_of, raw)
    for name, gradient, values in zip(names, gradients, raw, strict=True):
        hidden = np.broadcast_to(
            missing[name].reshape(*values.shape[:2], -1), values.shape
        )
        gradient = array(gradient)
        assert (gradient[hidden] == 0).all()
        np.testing.assert_allclose(
            gradient[~hidden], 2 * values[~hidden], rtol=1e-5
        )
