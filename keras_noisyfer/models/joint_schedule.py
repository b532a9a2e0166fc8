"""In which steps the distributions are matched, and how much that counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from keras import ops

from keras_noisyfer.arguments import check_number
from keras_noisyfer.distribution import is_distributed
from keras_noisyfer.models.base import ON_JAX
from keras_noisyfer.typing import Tensor

if TYPE_CHECKING:
    from keras_noisyfer.models import JointDistributionGAN
if ON_JAX:
    from keras_noisyfer.models import jax_training


def check_schedule(
    discriminator_steps: int,
    warmup_epochs: int,
    ramp_epochs: int,
    joint_every: int,
) -> None:
    """Raises `ValueError` if an argument of the GAN is out of its range."""
    check_number("discriminator_steps", discriminator_steps, 1, integer=True)
    check_number("warmup_epochs", warmup_epochs, minimum=0, integer=True)
    check_number("ramp_epochs", ramp_epochs, minimum=0, integer=True)
    check_number("joint_every", joint_every, minimum=1, integer=True)
    # Optimizers cannot run in a branch under a strategy.
    if joint_every > 1 and is_distributed():
        raise ValueError(
            "`joint_every` must be 1 under a strategy of several replicas. "
            f"Received: {joint_every}"
        )


def joint_weight(model: JointDistributionGAN) -> Tensor:
    """The weight of the joint-distribution loss in an alternating step."""
    automatic = model.lambda_ratio
    weight = automatic.value if automatic else model.lambda_joint
    # So that its pull is the same over all steps.
    weight *= model.joint_every
    if model.ramp_epochs:
        begun = model.completed_epochs - model.warmup_epochs + 1
        ramp = ops.cast(begun, "float32") / (model.ramp_epochs + 1)
        weight *= ops.clip(ramp, 0.0, 1.0)
    return weight


def either_step(
    model: JointDistributionGAN,
    joint: Callable[..., Any],
    plain: Callable[..., Any],
    arguments: Sequence[Any],
) -> Any:
    """Runs the alternating step where it is due, or the plain one.

    Args:
        model: The model.
        joint: Its `alternating_step`.
        plain: `MultiTaskModel.train_step`.
        arguments: Those of `train_step`.
    """
    steps = model.fault_guard.steps
    if ON_JAX:
        steps = jax_training.value_of(model, steps, arguments[0])
    return ops.cond(
        ops.equal(steps % model.joint_every, 0),
        lambda: joint(*arguments),
        lambda: plain(*arguments),
    )
