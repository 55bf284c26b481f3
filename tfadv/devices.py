"""Where TensorFlow computes: chosen once, before its first computation; a GPU's memory is taken as it is needed."""

import tensorflow as tf


def use(device: str | None = None) -> str:
    """Compute on "cpu", "gpu" or "gpu:N"; by default on the GPU that TensorFlow takes itself, or the CPU without one.

    Returns the device in use. Raises ValueError for one that is not there, or once TensorFlow has begun to compute.
    """
    gpus = tf.config.list_physical_devices("GPU")
    kind, _, number = (device or "gpu:0").lower().partition(":")
    if kind not in ("cpu", "gpu") or not (number or "0").isdigit() or (kind == "cpu" and int(number or 0)):
        raise ValueError(f"device: expected cpu, gpu or gpu:N, got {device!r}.")
    if device is not None and kind == "gpu" and int(number or 0) >= len(gpus):
        raise ValueError(f"device: expected one of the {len(gpus)} GPUs that TensorFlow sees, got {device!r}.")
    chosen = [gpus[int(number or 0)]] if kind == "gpu" and gpus else []
    try:
        tf.config.set_visible_devices(chosen, "GPU")
        for gpu in chosen:
            tf.config.experimental.set_memory_growth(gpu, True)
            tf.config.experimental.enable_op_determinism()  # the same bytes on every run; a CPU needs no asking
    except RuntimeError as error:
        raise ValueError(f"device: {device or 'gpu'} has to be chosen before TensorFlow first computes.") from error
    return chosen[0].name if chosen else "cpu"


def name() -> str:
    """The name of the GPU that TensorFlow computes on, or "CPU"."""
    gpus = tf.config.get_visible_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
