"""Reads manifest.json: for each official checkpoint its address, file to load, published hash and accuracy."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """The entry of one network in manifest.json.

    Attributes:
        net: the name it goes by, `ens3_adv_inception_v3`.
        architecture: the graph its weights belong to, `inception_v3`.
        url: the official tarball.
        file: the checkpoint inside the tarball: one file (V1) or the prefix of .index and .data-00000-of-00001 (V2).
        format: `V1` or `V2`.
        sha256: of the tarball where one is published, else None.
        size: of the tarball in bytes where published, else None.
        unpacked: of the weights in bytes, 4 for each parameter, approximately.
        classes: logits of the network: 1001 with a background class in front, else 1000.
        offset: 1 where class 0 is background, else 0.
        imagenet_top1: published top-1 share on the ImageNet validation set, 0..1, else None.
        nips2017_top1: top-1 share on the 1000 images of the NIPS 2017 development set, 0..1, else None.
        paper: whether it is one of the nine networks in the NAA paper's tables.
    """

    net: str
    architecture: str
    url: str
    file: str
    format: str
    sha256: str | None
    size: int | None
    unpacked: int
    classes: int
    offset: int
    imagenet_top1: float | None
    nips2017_top1: float | None
    paper: bool

    @property
    def tarball(self) -> str:
        """The file name of the tarball."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def accuracy(self) -> float | None:
        """The top-1 share to expect on photographs: on ImageNet's validation set, else on the NIPS 2017 images."""
        return self.imagenet_top1 if self.imagenet_top1 is not None else self.nips2017_top1


@lru_cache(maxsize=1)
def entries() -> dict[str, Entry]:
    """The manifest of the package: name -> Entry."""
    manifest = json.loads(Path(__file__).with_name("manifest.json").read_text(encoding="utf-8"))
    return {net: Entry(net=net, **fields) for net, fields in manifest["nets"].items()}


def named(net: str, manifest: dict[str, Entry]) -> Entry:
    """The entry of that name.

    Raises:
        ValueError: there is none; the message holds the nearest names.
    """
    if net in manifest:
        return manifest[net]
    near = difflib.get_close_matches(net, manifest, n=3, cutoff=0.4) or sorted(manifest)
    raise ValueError(
        f"{net}: no official checkpoint has this name. Nearest: {', '.join(near)}. `tfadv checkpoints list` lists all."
    )


def recognise(name: str, manifest: dict[str, Entry]) -> str | None:
    """The network a file or folder of this name holds, None when the name does not say.

    `inception_v3_2016_08_28.tar.gz`, `inception_v3.ckpt` and `inception_v3.ckpt.index` are inception_v3: the name of
    the network comes first and something that is no letter or digit follows.
    """
    return next((net for net in manifest if re.match(re.escape(net) + r"(?![0-9A-Za-z])", name)), None)
