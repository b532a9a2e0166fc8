"""Expressions by name: the library's order and the ids of published data."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_noisyfer.datasets.synthetic_faces import EXPRESSIONS
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask
from keras_noisyfer.typing import PathLike

# The order is AffectNet's, whose eighth expression comes last.
EXPRESSIONS_WITH_CONTEMPT = (*EXPRESSIONS, "contempt")

# The ids that stand in the files of each data set.
_RAF_ORDER = "surprise fear disgust happy sad anger neutral"
RAF_EXPRESSIONS = dict(enumerate(_RAF_ORDER.split(), start=1))
_OTHERS = ("none", "uncertain", "no face")
AFFECTNET_EXPRESSIONS = dict(enumerate((*EXPRESSIONS_WITH_CONTEMPT, *_OTHERS)))
AFFECT_DIMENSIONS = ("valence", "arousal")


def expression_task(
    class_names: Sequence[str] = EXPRESSIONS,
) -> CategoricalTask:
    """The task `expression` with these classes, one annotator."""
    return CategoricalTask("expression", class_names=class_names)


def affect_task() -> ContinuousTask:
    """The task `affect`, valence and arousal, one annotator."""
    return ContinuousTask("affect", AFFECT_DIMENSIONS)


def check_offset(
    file_ids: Any,
    expressions: Mapping[int, str],
    path: PathLike,
    classes: int | None = None,
) -> None:
    """Refuses the ids of a file that count from another number, for leaving
    bad ones out would give every other image the label of the next class.

    An id next to the first or the last one is a sign of it; so is one higher
    for each of the first `classes` ids, which stand for expressions.
    """
    seen = {int(each) for each in file_ids if float(each).is_integer()}
    first, last = min(expressions), max(expressions)
    # Lists that count from 0 may have one more class.
    below = first - 1 in seen and (first == 1 or last not in seen)
    above = last + 1 in seen
    if classes is not None:
        above |= seen.issuperset(range(first + 1, first + classes + 1))
    if below or (above and first not in seen):
        raise ValueError(
            f"Expression ids must be from {first}, {expressions[first]}, to "
            f"{last}, {expressions[last]}, and seem to count from another "
            f"number. Received: ids from {min(seen)} to {max(seen)} in {path}"
        )
