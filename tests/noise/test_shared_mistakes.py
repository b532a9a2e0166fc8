import numpy as np

from keras_noisyfer.noise.shared_mistakes import share_mistakes


def annotate(rates, seed, count=1000, classes=7):
    """Three annotators' labels, wrong at rates of annotators or images."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, count)
    wrong = rng.random((count, 3)) < rates
    others = rng.integers(0, classes, (count, 3))
    labels = np.where(wrong, others, truth[:, None])
    labels[rng.random((count, 3)) < 0.05] = -1
    return labels


def test_hard_images_are_told_from_bad_annotators():
    hard = np.where(np.arange(1000) % 3 == 0, 0.8, 0.1)[:, None]
    alarms, found = [], []
    for seed in range(6):
        labels = annotate([0.2, 0.35, 0.5], seed)
        alarms.append(share_mistakes(labels, 7, seed))
        found.append(share_mistakes(annotate(hard, seed), 7, seed))
    # One in a hundred is expected by chance.
    assert sum(alarms) <= 1
    assert all(found)
    few = annotate([0.2, 0.35, 0.5], 0)
    few[50:, 0] = -1
    assert share_mistakes(few, 7) is None
