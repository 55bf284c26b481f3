"""The official TF-slim checkpoints: a manifest of their addresses, and a store that downloads, checks and finds them.

`Store().path("inception_v3")` is what `tfadv.checkpoints.reader.load` takes. Nothing here imports TensorFlow.
"""

from tfadv.checkpoints.manifest import Entry, entries
from tfadv.checkpoints.store import Status, Store, Verdict

__all__ = ["Entry", "Status", "Store", "Verdict", "entries"]
