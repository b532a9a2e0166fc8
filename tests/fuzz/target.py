"""A loader that is fed with damaged files."""

from damage import (
    damage_npy,
    damage_zip,
)

from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

SHADE = CategoricalTask("shade", class_names=("dark", "grey", "light"))
AFFECT = ContinuousTask("affect", ("valence", "arousal"))


class Target:
    """One loader; a subclass makes the files."""

    # Inputs of a run, in proportion to what one of them costs.
    count = 500

    def __init__(self, folder):
        self.folder = folder
        self.on_error = "raise"
        self.make()

    def prepare(self, rng):
        """What else is drawn before a load."""
        self.on_error = rng.choice(["raise", "skip"])


def damage_npz(rng, content, others):
    return damage_zip(
        rng, content, lambda rng, name, member: damage_npy(rng, member, others)
    )
