"""Gives several devices batches that they cannot share; run by
test_shards.py."""

import keras
import numpy as np

from keras_noisyfer import (
    CategoricalTask,
    Encoder,
    FusedAdam,
    MultiTaskModel,
)

TASKS = [CategoricalTask("object", 3, annotators=2)]


def main():
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    model = MultiTaskModel(Encoder(TASKS, (32, 32, 3), width=1 / 16))
    model.compile(FusedAdam(1e-3))
    images = np.zeros((8, 32, 32, 3), "float32")
    labels = {"object": np.zeros((8, 2), "int32")}
    for call in (
        lambda: model.fit(images, labels, batch_size=6, verbose=0),
        lambda: model.predict(images[:3], verbose=0),
    ):
        try:
            call()
        except ValueError as error:
            assert "a multiple of the number of devices, 4" in str(error)
        else:
            raise AssertionError("the batch was taken")
    # The weights are still there.
    model.fit(images, labels, batch_size=4, verbose=0)
    assert model.predict(images, verbose=0)["object"].shape == (8, 3)


if __name__ == "__main__":
    main()
