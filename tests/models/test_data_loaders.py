"""Data sets of Keras and PyTorch, in the data contract."""

import keras
import numpy as np
import pytest
from common import in_smoke

from keras_noisyfer.models import MultiTaskModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TASKS = [
    CategoricalTask("mood", 3, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (6, 32, 32, 3)).astype("float32")
LABELS = {
    "mood": RNG.integers(-1, 3, (6, 2)),
    "affect": RNG.uniform(-1, 1, (6, 2)).astype("float32"),
}


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, number):
        part = slice(3 * number, 3 * number + 3)
        return IMAGES[part], {name: each[part] for name, each in LABELS.items()}


class Samples:
    """Single images, as a `torch.utils.data.Dataset` has them."""

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        labels = {name: each[index] for name, each in LABELS.items()}
        return IMAGES[index], labels


def torch_batches():
    data = pytest.importorskip("torch.utils.data")
    return data.DataLoader(Samples(), batch_size=3)


@pytest.mark.parametrize("make", [in_smoke(Batches), in_smoke(torch_batches)])
def test_fit_takes_it_and_sees_what_arrays_hold(make):
    batches, losses = make(), []
    for data in ((batches,), (IMAGES, LABELS)):
        keras.utils.set_random_seed(0)
        model = MultiTaskModel(Encoder(TASKS, (32, 32, 3), width=0.125))
        model.compile(keras.optimizers.SGD(0.01))
        options = {} if len(data) == 1 else {"batch_size": 3}
        fitted = model.fit(*data, shuffle=False, verbose=0, **options)
        losses.append(fitted.history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    assert model.evaluate(make(), verbose=0, return_dict=True).keys()
