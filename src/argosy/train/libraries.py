"""TensorFlow and Keras, imported late, quiet, and within this process's share of the machine."""

from __future__ import annotations

import os
from typing import Any

_VARIABLES = {"TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_BACKEND": "tensorflow", "GRPC_VERBOSITY": "ERROR"}


def load() -> tuple[Any, Any]:
    """(tensorflow, keras). Threads follow ``OMP_NUM_THREADS`` where it is set."""
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    import keras
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=tensorflow")
    return tf, keras


def limit_threads(tf: Any) -> None:
    """Must come before TensorFlow's first operation; later it changes nothing."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and not os.environ.get("TF_NUM_INTRAOP_THREADS"):
        try:
            tf.config.threading.set_intra_op_parallelism_threads(int(threads))
        except RuntimeError:
            return
