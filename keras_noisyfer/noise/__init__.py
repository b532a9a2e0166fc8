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

from keras_noisyfer.noise.annotators import PAPER_ANNOTATORS as PAPER_ANNOTATORS
from keras_noisyfer.noise.annotators import (
    CategoricalAnnotator as CategoricalAnnotator,
)
from keras_noisyfer.noise.annotators import (
    ContinuousAnnotator as ContinuousAnnotator,
)
from keras_noisyfer.noise.annotators import (
    InstanceDependentAnnotator as InstanceDependentAnnotator,
)
from keras_noisyfer.noise.annotators import annotate as annotate
from keras_noisyfer.noise.checks import MISSING as MISSING
from keras_noisyfer.noise.consensus import dawid_skene as dawid_skene
from keras_noisyfer.noise.flips import flip_labels as flip_labels
from keras_noisyfer.noise.instance import (
    flip_labels_by_instance as flip_labels_by_instance,
)
from keras_noisyfer.noise.instance import (
    instance_flip_probabilities as instance_flip_probabilities,
)
from keras_noisyfer.noise.missing import drop_labels as drop_labels
from keras_noisyfer.noise.missing import keep_labels as keep_labels
from keras_noisyfer.noise.realised import (
    format_realised_noise as format_realised_noise,
)
from keras_noisyfer.noise.realised import (
    realised_confusion as realised_confusion,
)
from keras_noisyfer.noise.realised import realised_noise as realised_noise
from keras_noisyfer.noise.values import perturb_values as perturb_values
from keras_noisyfer.noise.votes import draw_votes as draw_votes
from keras_noisyfer.noise.votes import (
    estimate_noise_rates as estimate_noise_rates,
)
from keras_noisyfer.noise.votes import majority_vote as majority_vote
from keras_noisyfer.noise.votes import mean_vote as mean_vote
