"""What the property tests are about: tasks, and labels of which some are
missing."""

import keras
import numpy as np
from hypothesis import strategies as st

from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

DIMENSIONS = ("valence", "arousal", "dominance")
MASKS = ("none", "some", "most", "all", "one annotator", "one image")


@st.composite
def categorical_tasks(draw, name="expression"):
    return CategoricalTask(
        name, draw(st.integers(2, 9)), annotators=draw(st.integers(1, 4))
    )


@st.composite
def continuous_tasks(draw, name="affect"):
    dimensions = DIMENSIONS[: draw(st.integers(1, 3))]
    return ContinuousTask(name, dimensions, annotators=draw(st.integers(1, 4)))


@st.composite
def task_lists(draw):
    """One to three tasks of any kinds."""
    kinds = st.sampled_from([categorical_tasks, continuous_tasks])
    return [
        draw(draw(kinds)(f"task{index}"))
        for index in range(draw(st.integers(1, 3)))
    ]


def generators():
    """NumPy's generators: values without a structure worth shrinking."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def masks(draw, task, count):
    """Which labels are missing: boolean, a label or dimension each."""
    shape = (count, task.annotators)
    if isinstance(task, ContinuousTask):
        shape += (task.num_outputs,)
    generator = draw(generators())
    kind = draw(st.sampled_from(MASKS))
    if kind == "one annotator":
        missing = np.zeros(shape, bool)
        missing[:, generator.integers(task.annotators)] = True
        return missing
    if kind == "one image":
        missing = np.zeros(shape, bool)
        missing[generator.integers(count)] = True
        return missing
    rate = {"none": 0.0, "some": 0.3, "most": 0.9, "all": 1.0}[kind]
    return generator.random(shape) < rate


@st.composite
def labels_of(draw, task, count):
    """Labels with an annotator axis, and which of them are missing."""
    missing = draw(masks(task, count))
    generator = draw(generators())
    if isinstance(task, CategoricalTask):
        given = generator.integers(0, task.num_classes, missing.shape)
        return np.where(missing, -1, given).astype("int32"), missing
    # Constant labels and labels at the ends of the range are what breaks.
    values = generator.uniform(-1, 1, missing.shape)
    kind = draw(st.sampled_from(["any", "constant", "ends"]))
    if kind == "constant":
        values = np.full(missing.shape, 0.25)
    elif kind == "ends":
        values = np.sign(values)
    return np.where(missing, np.nan, values).astype("float32"), missing


@st.composite
def outputs_of(draw, task, count, scales=(0.0, 1e-3, 1.0, 30.0, 1e4)):
    """Raw outputs of an encoder's head, from none to far too large ones."""
    shape = (count, task.annotators, task.num_outputs)
    scale = draw(st.sampled_from(scales))
    return (scale * draw(generators()).normal(size=shape)).astype("float32")


@st.composite
def batches(draw, tasks, largest=9, scales=(0.0, 1e-3, 1.0, 30.0, 1e4)):
    """`(task, labels, missing, outputs)` of one to `largest` images."""
    task = draw(tasks)
    count = draw(st.integers(1, largest))
    labels, missing = draw(labels_of(task, count))
    return task, labels, missing, draw(outputs_of(task, count, scales))


def losses_of(task):
    """All losses there are of a task, by name."""
    from keras_noisyfer import losses

    if isinstance(task, CategoricalTask):
        return {
            "cross entropy": losses.SparseCategoricalCrossentropy(),
            "symmetric": losses.SparseSymmetricCrossentropy(),
            "generalised": losses.SparseGeneralizedCrossentropy(),
            "generalised, q=1": losses.SparseGeneralizedCrossentropy(q=1.0),
        }
    return {
        "concordance": losses.ConcordanceLoss(),
        "concordance, population": losses.ConcordanceLoss("population"),
        "squared error": losses.MeanSquaredError(),
    }


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)
