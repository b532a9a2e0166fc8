"""Values moved off the truth."""

from collections.abc import Sequence

import numpy as np

from keras_noisyfer.noise.checks import check_array, make_generator, require
from keras_noisyfer.typing import ArrayLike, Seed


def perturb_values(
    values: ArrayLike,
    bias: ArrayLike = 0.0,
    standard_deviation: ArrayLike = 0.0,
    value_range: Sequence[float] = (-1, 1),
    seed: Seed = 0,
) -> np.ndarray:
    """Adds a bias and Gaussian noise, then clips to the range.

    Args:
        values: Float array of shape `(n, dimensions)`; NaN stays NaN.
        bias: Float, or one per dimension, in the unit of `values`.
        standard_deviation: Float, at least 0, or one per dimension.
        value_range: `(low, high)`, which `values` must lie in.
        seed: Int or `np.random.Generator`.

    Returns:
        float32 array of shape `(n, dimensions)`.
    """
    values = check_array("values", values, np.floating, 2)
    low, high = value_range
    outside = values[(values < low) | (values > high)]
    expected = f"`values` must lie in [{low}, {high}]"
    require(not outside.size, expected, outside[:3])
    scale = np.asarray(standard_deviation)
    for name, value in ("bias", bias), ("standard_deviation", scale):
        fits = np.shape(value) in ((), values.shape[1:])
        expected = f"`{name}` must be finite, one float or one per dimension"
        require(fits and np.isfinite(value).all(), expected, value)
    require((scale >= 0).all(), "`standard_deviation` must be >= 0", scale)
    generator = make_generator(seed, "perturb_values")
    noise = np.asarray(bias) + scale * generator.standard_normal(values.shape)
    return np.clip(values + noise, low, high).astype("float32")
