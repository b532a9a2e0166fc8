"""Makes a model as one of several workers; run by test_replicas.py.

`python workers.py INDEX PORT...`: prints the error that it ends with.
"""

import json
import os
import sys


def main(index, ports):
    os.environ["TF_CONFIG"] = json.dumps(
        {
            "cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
            "task": {"type": "worker", "index": index},
        }
    )
    import tensorflow as tf

    from keras_noisyfer import CategoricalTask, Encoder, JointDistributionGAN

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        encoder = Encoder(
            [CategoricalTask("expression", 3)], (32, 32, 3), width=1 / 16
        )
        try:
            JointDistributionGAN(encoder)
        except RuntimeError as error:
            print(error)


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(each) for each in sys.argv[2:]])
