"""Which labels are wrong, and how good each annotator is."""

try:
    import scipy  # noqa: F401
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "keras_noisyfer.auditing needs SciPy and scikit-learn: "
        "pip install keras_noisyfer[audit]"
    ) from error

from keras_noisyfer.auditing.annotator_report import (
    annotator_report,
    format_annotator_report,
)
from keras_noisyfer.auditing.audit import METHODS, LabelAudit, audit
from keras_noisyfer.auditing.measures import measure_audit
from keras_noisyfer.auditing.page import write_audit
from keras_noisyfer.auditing.predictions import predict_images

__all__ = [
    "METHODS",
    "LabelAudit",
    "annotator_report",
    "audit",
    "format_annotator_report",
    "measure_audit",
    "predict_images",
    "write_audit",
]
