"""Simulated annotators: seeded label noise, and a report of what it did.

- **Classes** (`CategoricalAnnotator`, `flip_labels`): a fraction of the labels
  is replaced by any other class (`"exclusive"`), by any class at all
  (`"inclusive"`, the paper's) or by the class it is confused with (`"pairs"`).
- **Classes, by the image** (`InstanceDependentAnnotator`,
  `flip_labels_by_instance`): the nearer an image is to the decision boundary
  of a model, the more likely its label flips, and to the class across it.
- **Values** (`ContinuousAnnotator`, `perturb_values`): a bias and Gaussian
  noise.
- **Missing labels** (`missing=` of every annotator, `drop_labels`,
  `keep_labels` for a crowd).
- **Consensus** (`majority_vote`, `mean_vote`, `dawid_skene`): the annotators'
  labels made one; `estimate_noise_rates`, how far each is from it;
  `draw_votes`, annotators from a crowd's numbers of votes.
- **What came of it** (`realised_noise`, `format_realised_noise`,
  `realised_confusion`); agreement is in
  `keras_noisyfer.auditing.annotator_report`.

Any data set whose clean labels are known is labelled anew in one call; a task
that is left out keeps its labels:

>>> noisy = data.with_noise(
...     {
...         "expression": [
...             noise.CategoricalAnnotator(rate=0.3, missing=0.1),
...             noise.InstanceDependentAnnotator(probabilities, rate=0.3),
...         ],
...         "affect": [noise.ContinuousAnnotator(bias=(0.1, -0.1))],
...     }
... )

NumPy in, NumPy out. A missing label is -1 (class ids) or NaN (values). `seed`
is a non-negative int or a `np.random.Generator`. Every function raises a
`ValueError` that names an argument out of range or of the wrong kind.
"""

from keras_noisyfer.noise.annotators import (
    PAPER_ANNOTATORS,
    CategoricalAnnotator,
    ContinuousAnnotator,
    InstanceDependentAnnotator,
    annotate,
)
from keras_noisyfer.noise.checks import MISSING
from keras_noisyfer.noise.consensus import dawid_skene
from keras_noisyfer.noise.flips import flip_labels
from keras_noisyfer.noise.instance import (
    flip_labels_by_instance,
    instance_flip_probabilities,
)
from keras_noisyfer.noise.missing import drop_labels, keep_labels
from keras_noisyfer.noise.realised import (
    format_realised_noise,
    realised_confusion,
    realised_noise,
)
from keras_noisyfer.noise.values import perturb_values
from keras_noisyfer.noise.votes import (
    draw_votes,
    estimate_noise_rates,
    majority_vote,
    mean_vote,
)

__all__ = [
    "MISSING",
    "PAPER_ANNOTATORS",
    "annotate",
    "dawid_skene",
    "draw_votes",
    "drop_labels",
    "estimate_noise_rates",
    "flip_labels",
    "flip_labels_by_instance",
    "format_realised_noise",
    "instance_flip_probabilities",
    "keep_labels",
    "majority_vote",
    "mean_vote",
    "perturb_values",
    "realised_confusion",
    "realised_noise",
    "CategoricalAnnotator",
    "ContinuousAnnotator",
    "InstanceDependentAnnotator",
]
