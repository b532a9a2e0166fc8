"""Trains on JAX, over devices and processes; run by test_shards.py.

`python shards.py OUTPUT.npz CHECKPOINT.keras [INDEX PROCESSES ADDRESS]`
"""

import sys

import keras


def main(output, checkpoint, index=0, processes=1, address=None):
    if processes > 1:
        keras.distribution.initialize(address, processes, index)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    # After the distribution, which decides where arrays are put.
    from training import make_model, train

    from keras_noisyfer import ChiefModelCheckpoint

    train(make_model(), output, [ChiefModelCheckpoint(checkpoint)])


if __name__ == "__main__":
    _, output, checkpoint, *process = sys.argv
    if process:
        index, processes, address = process
        main(output, checkpoint, int(index), int(processes), address)
    else:
        main(output, checkpoint)
