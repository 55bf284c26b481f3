"""The papers' references, repeated from REFERENCES.bib, because that file is not installed."""

from __future__ import annotations

from typing import NamedTuple


class Citation(NamedTuple):
    """A paper: its short name, title, authors, where and when it appeared, its address or nothing; and in a sentence
    which of its figures are not reproduced."""

    short: str
    title: str
    authors: str
    venue: str
    year: int
    address: str = ""
    lacking: str = ""


CITATIONS = {
    "naa": Citation(
        "NAA",
        "Improving Adversarial Transferability via Neuron Attribution-Based Attacks",
        "Jianping Zhang, Weibin Wu, Jen-tse Huang, Yizhan Huang, Wenxuan Wang, Yuxin Su, Michael R. Lyu",
        "CVPR",
        2022,
        "https://arxiv.org/abs/2204.00008",
    ),
    "fia": Citation(
        "FIA",
        "Feature Importance-aware Transferable Adversarial Attacks",
        "Zhibo Wang, Hengchang Guo, Zhifei Zhang, Wenxin Liu, Zhan Qin, Kui Ren",
        "ICCV",
        2021,
        "https://arxiv.org/abs/2107.14185",
    ),
    "fcr": Citation(
        "FCR",
        "An Adversarial Attack via Feature Contributive Regions",
        "Anonymous",
        "submitted to ICLR",
        2021,
    ),
    "nrg": Citation(
        "NRG",
        "Enhancing the Transferability of Adversarial Examples with Noise Reduced Gradient",
        "Anonymous",
        "submitted to ICLR",
        2018,
    ),
    "nip": Citation(
        "NIP",
        "NIP: Neuron-level Inverse Perturbation Against Adversarial Attacks",
        "Ruoxi Chen, Haibo Jin, Jinyin Chen, Haibin Zheng, Yue Yu, Shouling Ji",
        "preprint",
        2021,
        lacking="Figures 14 to 18 of the paper's appendix are not made: adversarial images (14), purified ones (15, "
        "16), and Figure 2 for MobileNetV1 on ImageNet, attacked (17) and behind three defences (18).",
    ),
    "sfva": Citation(
        "SFVA",
        "Crafting Transferable Adversarial Examples via Contaminating the Salient Feature Variance",
        "Yuchen Ren and others",
        "Information Sciences",
        2023,
        lacking="Of SFVA's tables only Table 1 is made.",
    ),
}
#: What stands for the paper of experiments that are of none.
NO_PAPER = Citation("Beyond the papers", "Beyond the papers", "", "", 0)


def of(key: str) -> Citation:
    """The reference of this key; `NO_PAPER` for "", and for an unknown key one whose title is the key."""
    return CITATIONS.get(key, Citation(key, key, "", "", 0)) if key else NO_PAPER
