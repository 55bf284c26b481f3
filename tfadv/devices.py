"""Where TensorFlow computes: chosen once, before its first computation; a GPU's memory is taken as it is needed."""

from pathlib import Path

import tensorflow as tf

#: NVIDIA's compute capability from which on a GPU has arithmetic for bfloat16 (Ampere).
AMPERE = (8, 0)
#: The flags of processors that have it.
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
PROCESSOR = Path("/proc/cpuinfo")


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


def computes_bfloat16() -> bool:
    """Whether what TensorFlow computes on has arithmetic for bfloat16; elsewhere it is slower than float32."""
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
        return all(found.get("compute_capability", (0, 0)) >= AMPERE for found in details)
    try:
        lines = PROCESSOR.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return False
    return any(line.startswith("flags") and BFLOAT16_FLAGS & set(line.split()) for line in lines)
