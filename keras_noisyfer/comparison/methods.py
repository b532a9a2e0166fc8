"""The methods that are compared: which labels each sees, which model it is.

All of them have the same encoder. None is given a clean label, but for
`"vggnet-clean"`, the upper bound.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_noisyfer.arguments import check_choice, register, takes
from keras_noisyfer.labels import annotator_axis
from keras_noisyfer.losses import (
    SparseGeneralizedCrossentropy,
    SparseSymmetricCrossentropy,
)
from keras_noisyfer.mixup import Mixup
from keras_noisyfer.models import (
    AIR,
    CoTeaching,
    CrowdLayer,
    JointDistributionGAN,
    LTNet,
    MultiTaskModel,
)
from keras_noisyfer.networks import Encoder
from keras_noisyfer.noise import (
    dawid_skene,
    estimate_noise_rates,
    majority_vote,
    mean_vote,
)
from keras_noisyfer.regularizers import EarlyLearning
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Shape, Tasks

if TYPE_CHECKING:
    from keras_noisyfer.datasets.labelled_images import LabelledImages


# Options that some methods have; `gamma` and `seed` all have.
_GAN = (
    "lambda_joint warmup_epochs joint_every discriminator_learning_rate "
    "discriminator_beta_1"
).split()
_ELR = ["strength"]
OPTIONS = [*_GAN, *_ELR, "forget_rate"]
# What the functions of a method are called with.
_CALLED = {"make_model": "encoder, data, options", "labels": "data, seed"}


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to train; see `method`."""

    title: str
    make_model: Callable
    labels: Callable = lambda data, seed: data
    loss: Callable | None = None
    one_head: bool = False
    pretrained: bool = False
    requires: tuple | None = None
    options: Sequence[str] = ()

    def __post_init__(self):
        for each in self.options:
            check_choice("options", each, OPTIONS)
        loss = self.loss
        is_class = isinstance(loss, type) and issubclass(loss, keras.Loss)
        for name, kind, right in (
            ("title", "a string", isinstance(self.title, str)),
            ("loss", "a class of Keras losses", loss is None or is_class),
            *(
                (each, f"a function of {given}", takes(vars(self)[each], given))
                for each, given in _CALLED.items()
            ),
        ):
            if not right:
                raise ValueError(
                    f"`{name}` must be {kind}. "
                    f"Received: {getattr(self, name)!r}"
                )

    def make_losses(self, tasks: Tasks) -> dict[str, Any]:
        """The losses that `compile` is given, a dict by task name."""
        classes = [t for t in tasks if isinstance(t, CategoricalTask)]
        return {t.name: self.loss() for t in classes} if self.loss else {}


METHODS: dict[str, Method] = {}


def method(key: str, title: str, **options: Any) -> Callable:
    """Registers a way to train, as the decorator of what makes its model.

    Tables, figures, recipes and `compare` know it from then on by its key.

    Args:
        key: What it is called in files and on the command line.
        title: Its name in tables and figures.
        **options: `labels`, a function of `LabelledImages` and a seed that
            returns those with the labels that it trains on; `loss`, a class
            of the loss of categorical tasks; `one_head`, whether the encoder
            has one head for all annotators of a task; `pretrained`, whether
            the encoder is first trained as `"vggnet"`; `requires`, a pair of a
            module that must be installed and the extra of this package that
            brings it; `options`, names of the arguments of `make_model` that
            it has beside `gamma` and `seed`, such as `["lambda_joint"]`.

    Returns:
        A decorator of a function of the encoder, the `LabelledImages` it is
        trained on and a dict of its options that returns the model.

    Raises:
        ValueError: if the key is that of another function.

    Example:

    >>> @method("label-smoothing", "Label smoothing", loss=SmoothedLoss)
    ... def label_smoothing(encoder, data, options):
    ...     return MultiTaskModel(encoder, options["gamma"])
    """

    def decorate(make_model):
        made = Method(title, make_model, **options)
        register("key", key, made, "make_model", METHODS)
        return make_model

    return decorate


# === Labels ===


def _clean_labels(data, seed):
    missing = [
        task.name
        for task in data.tasks
        if task.name not in data.clean
        or task.missing(data.clean[task.name]).all()
    ]
    if missing:
        raise ValueError(
            "`data` must have clean labels of every task for the method "
            f"'vggnet-clean'. Received: none of {', '.join(missing)}"
        )
    return _one_annotator(data, data.clean)


def _majority_labels(data, seed):
    return _consensus_labels(data, majority_vote, seed=seed)


def _dawid_skene_labels(data, seed):
    return _consensus_labels(data, dawid_skene)


def _consensus_labels(data, consensus, **options):
    labels = {}
    for task in data.tasks:
        given = annotator_axis(task, data.labels[task.name])
        if isinstance(task, CategoricalTask):
            labels[task.name] = consensus(given, task.num_classes, **options)
        else:
            labels[task.name] = mean_vote(given)
    return _one_annotator(data, labels)


def _one_annotator(data, labels):
    # All methods see labels of the same form, with an annotator axis.
    return data.with_labels(
        {name: np.expand_dims(each, 1) for name, each in labels.items()},
        annotators={},
    )


# === The paper's methods, in its order ===


# The lowest decorator is the first.
@method("vggnet", "VGGNet, all noisy labels")
@method("majority-vote", "VGGNet, majority vote", labels=_majority_labels)
@method("vggnet-clean", "VGGNet, clean labels", labels=_clean_labels)
def _plain(encoder, data, options):
    return MultiTaskModel(encoder, options["gamma"])


@method("air", "AIR", pretrained=True)
def _air(encoder, data, options):
    return AIR(encoder, gamma=options["gamma"])


method("sce", "SCE", loss=SparseSymmetricCrossentropy)(_plain)


@method("co-teaching", "Co-teaching", options=["forget_rate"])
def _co_teaching(encoder, data, options):
    rate = options["forget_rate"]
    if rate is None:
        rates = [
            estimate_noise_rates(
                annotator_axis(task, data.labels[task.name]), task.num_classes
            )
            for task in data.tasks
            if isinstance(task, CategoricalTask)
        ]
        known = [rate for rate in np.concatenate([*rates, []]) if rate >= 0]
        # Where fewer than three label an image, it is not known.
        rate = float(np.mean(known)) if known else 0.2
    return CoTeaching(encoder, forget_rate=rate, gamma=options["gamma"])


@method("ltnet", "LTNet", one_head=True, options=["warmup_epochs"])
def _ltnet(encoder, data, options):
    return LTNet(
        encoder,
        data.tasks,
        warmup_epochs=options["warmup_epochs"],
        gamma=options["gamma"],
    )


@method("proposed", "Joint-distribution GAN", options=_GAN)
def _joint(encoder, data, options, model=JointDistributionGAN, **switches):
    names = "lambda_joint gamma warmup_epochs joint_every seed".split()
    return model(encoder, **{name: options[name] for name in names} | switches)


# === Others ===

method("gce", "Generalized cross entropy", loss=SparseGeneralizedCrossentropy)(
    _plain
)
method(
    "dawid-skene",
    "VGGNet, Dawid–Skene consensus",
    labels=_dawid_skene_labels,
    requires=("crowdkit", "crowd"),
)(_plain)


def _early(data, options):
    return [EarlyLearning(len(data), strength=options["strength"])]


@method("elr", "ELR", options=_ELR)
def _elr(encoder, data, options):
    early = _early(data, options)
    return MultiTaskModel(encoder, options["gamma"], regularizers=early)


@method("mixup", "Mixup")
def _mixup(encoder, data, options):
    mixup = Mixup(0.4, seed=options["seed"])
    return MultiTaskModel(encoder, options["gamma"], mixup=mixup)


method("sce-mixup", "SCE and mixup", loss=SparseSymmetricCrossentropy)(_mixup)
method("gce-mixup", "GCE and mixup", loss=SparseGeneralizedCrossentropy)(_mixup)


@method("crowd-layer", "Crowd layer", one_head=True)
def _crowd_layer(encoder, data, options):
    return CrowdLayer(encoder, data.tasks, gamma=options["gamma"])


@method("joint-elr", "Joint-distribution GAN and ELR", options=_GAN + _ELR)
def _joint_elr(encoder, data, options):
    early = _early(data, options)
    return _joint(encoder, data, options, regularizers=early)


# === Ablations of the paper's method ===


def _without(key, title, switch):
    method(key, f"GAN without {title}", options=_GAN)(
        lambda *arguments: _joint(*arguments, **{switch: False})
    )


_without("without-joint", "joint score", "use_joint_score")
_without("without-marginal", "marginal scores", "use_marginal_scores")
_without("without-decoder", "decoder", "use_decoder")


def check_method(method: str) -> Method:
    """Returns the `Method` of a key.

    Raises:
        ValueError: if `method` is none of `METHODS`, or needs a package that
            is not installed.
    """
    check_choice("method", method, METHODS)
    module, extra = METHODS[method].requires or (None, None)
    if module is not None and importlib.util.find_spec(module) is None:
        raise ValueError(
            f"The method {method!r} needs `pip install "
            f"keras_noisyfer[{extra}]`. Received: no module {module}"
        )
    return METHODS[method]


def check_used(options: Iterable[str], methods: Sequence[str]) -> None:
    """Raises `ValueError` if none of the methods has one of the options."""
    for name in set(options).intersection(OPTIONS):
        having = [key for key, each in METHODS.items() if name in each.options]
        if not set(having) & set(methods):
            raise ValueError(
                f"`{name}` is an option of {', '.join(having)}. "
                f"Received: it for {', '.join(methods)}"
            )


def method_data(
    method: str, data: LabelledImages, seed: int = 0
) -> LabelledImages:
    """The images with the labels that a method trains on: of all annotators,
    or of one that stands for them. `seed` breaks the ties of a vote.

    Raises:
        ValueError: if the method is unknown, or has no labels to train on.
    """
    return check_method(method).labels(data, seed)


def make_model(
    method: str,
    data: LabelledImages,
    image_shape: Shape,
    width: float = 1.0,
    batch_normalization: bool = False,
    dropout: float = 0.5,
    lambda_joint: float | str = 0.4,
    gamma: float | str = 1.0,
    warmup_epochs: int = 0,
    joint_every: int = 1,
    forget_rate: float | None = None,
    strength: float = 3.0,
    seed: int | None = None,
) -> MultiTaskModel:
    """The model of a method; the encoder is the same for all of them.

    Args:
        method: A key of `METHODS`.
        data: `LabelledImages`, those of `method_data`.
        image_shape: See `Encoder`.
        width: See `Encoder`; of all networks.
        batch_normalization: See `Encoder`.
        dropout: See `Encoder`.
        lambda_joint: See `JointDistributionGAN`.
        gamma: See `MultiTaskModel`.
        warmup_epochs: First epochs of plain training of the methods that
            have them: see `JointDistributionGAN` and `LTNet`.
        joint_every: See `JointDistributionGAN`.
        forget_rate: See `CoTeaching`; by default the mean of
            `noise.estimate_noise_rates`, or 0.2 where it is not known.
        strength: See `EarlyLearning`.
        seed: Seed of the joint-distribution GAN's noise.

    Returns:
        A `MultiTaskModel` or one of its subclasses, not compiled.
    """
    chosen = check_method(method)
    tasks = data.tasks
    if chosen.one_head:
        tasks = [task.with_annotators(1) for task in tasks]
    # First, so that the seed gives every method the same encoder.
    encoder = Encoder(
        tasks,
        image_shape,
        width=width,
        batch_normalization=batch_normalization,
        dropout=dropout,
        name="encoder",
    )
    options = {
        "lambda_joint": lambda_joint,
        "gamma": gamma,
        "warmup_epochs": warmup_epochs,
        "joint_every": joint_every,
        "forget_rate": forget_rate,
        "strength": strength,
        "seed": seed,
    }
    has = {"gamma", "seed", *chosen.options}
    options = {name: each for name, each in options.items() if name in has}
    model = chosen.make_model(encoder, data, options)
    if not isinstance(model, MultiTaskModel):
        raise ValueError(
            f"The method {method!r} must make a MultiTaskModel. "
            f"Received: {type(model).__name__}"
        )
    return model
