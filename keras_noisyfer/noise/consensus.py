"""One label an image, from annotators of whom some are trusted more."""

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import check_number
from keras_noisyfer.noise.checks import MISSING, check_class_ids
from keras_noisyfer.typing import ArrayLike


def dawid_skene(
    labels: ArrayLike, num_classes: int, iterations: int = 100
) -> np.ndarray:
    """Returns the most probable class under a model of the annotators.

    Each annotator has a confusion matrix and the classes have a prior. They
    are estimated together with the images' class probabilities by
    expectation maximization, which begins with the shares of the votes.
    Nothing is random: between equally probable classes the lowest wins.

    A matrix has `num_classes ** 2` entries, so that few labels an annotator
    tell little about them; `majority_vote` is then the safer choice. How far
    each annotator is from the consensus, an estimate of their noise without
    clean labels, is `realised_noise(labels, consensus)`.

    Args:
        labels: Integer array of shape `(n, annotators)`, missing ones ignored.
        num_classes: Number of classes, at least 2.
        iterations: The most iterations, at least 1. They end earlier when one
            raises the bound of the log-likelihood by less than 1e-5 a label.

    Returns:
        int32 array of shape `(n,)`; -1 where every label is missing.

    Raises:
        ValueError: If an argument is out of range or of the wrong kind.
        ImportError: If crowd-kit is not installed.

    Example:

    >>> consensus = dawid_skene(labels, num_classes=7)

    Reference:

    - [Dawid and Skene, 1979](https://doi.org/10.2307/2346806)
    """
    labels = check_class_ids("labels", labels, num_classes, 2)
    check_number("iterations", iterations, minimum=1, integer=True)
    aggregation = _import_crowdkit()
    rows, columns = np.nonzero(labels != MISSING)
    answers = pd.DataFrame(
        {"task": rows, "worker": columns, "label": labels[rows, columns]}
    )
    # Indexed by the images that have a label.
    found = aggregation.DawidSkene(n_iter=int(iterations)).fit_predict(answers)
    consensus = np.full(len(labels), MISSING, "int32")
    consensus[found.index.to_numpy("int64")] = found.to_numpy("int32")
    return consensus


def _import_crowdkit():
    try:
        import crowdkit.aggregation
    except ImportError as error:
        raise ImportError(
            "dawid_skene needs crowd-kit: pip install keras_noisyfer[crowd]"
        ) from error
    return crowdkit.aggregation
