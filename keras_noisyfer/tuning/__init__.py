"""Choosing lambda and gamma without clean labels, with KerasTuner."""

try:
    import keras_tuner  # noqa: F401
except ImportError as error:
    raise ImportError(
        "keras_noisyfer.tuning needs KerasTuner: "
        "pip install keras_noisyfer[tune]"
    ) from error
