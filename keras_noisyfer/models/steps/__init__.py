"""The train steps of the Keras backends: thin, over shared objectives."""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_noisyfer.models.steps.tensorflow_steps import (
        AlternatingStep as AlternatingStep,
    )
    from keras_noisyfer.models.steps.tensorflow_steps import (
        PlainStep as PlainStep,
    )
    from keras_noisyfer.models.steps.tensorflow_steps import (
        gradients_of as gradients_of,
    )
    from keras_noisyfer.models.steps.tensorflow_steps import (
        keep_values as keep_values,
    )
elif keras.backend.backend() == "jax":
    from keras_noisyfer.models.steps.jax_steps import (
        AlternatingStep as AlternatingStep,
    )
    from keras_noisyfer.models.steps.jax_steps import PlainStep as PlainStep
    from keras_noisyfer.models.steps.jax_steps import (
        gradients_of as gradients_of,
    )
    from keras_noisyfer.models.steps.jax_steps import (
        keep_values as keep_values,
    )
else:
    raise ImportError(
        "keras_noisyfer's models need KERAS_BACKEND=tensorflow or jax. "
        f"Received: {keras.backend.backend()}"
    )
