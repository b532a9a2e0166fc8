"""Reads the numbers of the authors' release in `tests/golden`.

Those of whole steps are thinned from 14.5 MB to 4.3:

* PyTorch drew weights and images from the Mersenne Twister, which NumPy's
  `RandomState` has too. A file holds where each draw begins and its shape, and
  what is drawn here is what the release had, bit for bit.
* Gradients, which are compared to 1e-4 times their largest entry, are rounded
  to less than 4e-6 times that, and compress well.
"""

import functools
import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / "golden"
# PyTorch's when the weights and the images were drawn.
SEEDS = {"state": 3, "x": 0}


def load(name):
    """The arrays of a file by name: `load("blocks")`."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        arrays = dict(file)
    for name in [name for name in arrays if name.startswith("drawn/")]:
        begin, fan, *shape = arrays.pop(name)
        name = name.removeprefix("drawn/")
        draws = draw(SEEDS[name.partition("/")[0]])[begin:]
        last_bits = arrays.pop(f"normal/{name}", None)
        if last_bits is None:
            array = uniform(draws[: np.prod(shape)], fan)
        else:
            array = normal(draws, np.prod(shape), fan)
            array.view("int32")[:] += last_bits.ravel()
        arrays[name] = array.reshape(shape)
    return arrays


@functools.cache
def draw(seed):
    """What `torch.rand` gives after `torch.manual_seed(seed)`."""
    integers = np.random.RandomState(seed).randint(0, 2**32, 2**21, "uint32")
    # As many bits as float32 holds.
    return (integers % 2**24 / 2**24).astype("float32")


def uniform(draws, fan):
    """The weights that `torch.nn.Linear` begins with."""
    bound = float(np.float32(np.sqrt(1 / fan)))
    return (draws * np.float64(2 * bound) - bound).astype("float32")


def normal(draws, size, fan):
    """`torch.nn.init.kaiming_normal_`, up to the last bits.

    Box and Muller's transform of eight draws with the next eight; the last
    sixteen numbers are drawn anew where the size is no multiple of sixteen.
    """
    whole = size // 16 * 16
    numbers = box_muller(draws[:whole])
    if size > whole:
        rest = box_muller(draws[size : size + 16])
        numbers = np.concatenate([numbers[: size - 16], rest])
    return numbers * np.float32(np.sqrt(2 / fan))


def box_muller(draws):
    first, second = np.moveaxis(draws.reshape(-1, 2, 8), 1, 0)
    angle = np.float32(2 * np.pi) * second
    # In float64 each machine gives the same once it is rounded.
    radius = np.sqrt(-2 * np.log1p(-first.astype("float64")))
    pairs = [radius * f(angle.astype("float64")) for f in (np.cos, np.sin)]
    return np.stack(pairs, axis=1).astype("float32").ravel()
