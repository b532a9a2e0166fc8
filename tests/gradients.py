"""Gradients on whatever backend the tests run."""

import keras
from keras import ops


def differentiate(function, inputs=(), variables=(), state=()):
    """Calls a function and differentiates its scalar.

    Args:
        function: Function of `inputs` that returns a scalar and anything else.
        inputs: List of arrays.
        variables: List of variables to differentiate by.
        state: List of variables that the function assigns to.

    Returns:
        What the function returned, and the gradients with respect to the
        inputs and the variables, a list each.
    """
    inputs = [ops.convert_to_tensor(each, "float32") for each in inputs]
    if keras.backend.backend() == "jax":
        return _differentiate_jax(function, inputs, variables, state)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        scalar, others = function(*inputs)
    gradients = tape.gradient(
        scalar, [inputs, [each.value for each in variables]]
    )
    return (scalar, others), *gradients


def _differentiate_jax(function, inputs, variables, state):
    import jax

    def call(inputs, values):
        with keras.StatelessScope(
            list(zip(variables, values, strict=True))
        ) as scope:
            scalar, others = function(*inputs)
        return scalar, (others, [scope.get_current_value(v) for v in state])

    values = [each.value for each in variables]
    # Operation by operation it would compile hundreds of small functions.
    step = jax.jit(jax.value_and_grad(call, argnums=(0, 1), has_aux=True))
    (scalar, (others, assigned)), gradients = step(inputs, values)
    for variable, value in zip(state, assigned, strict=True):
        if value is not None:
            variable.assign(value)
    return (scalar, others), *gradients
