"""Which labels are wrong, and how good each annotator is."""

try:
    import scipy  # noqa: F401
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "keras_noisyfer.auditing needs SciPy and scikit-learn: "
        "pip install keras_noisyfer[audit]"
    ) from error
