"""Objectives: the functions that attacks increase, one number per image. F: features of a layer, L: logits, y: label.

    CrossEntropy     -log softmax(L)_y                       FGSM, BIM, PGD, MIM and its relatives
    Margin           max_{k != y} L_k - L_y                  Carlini and Wagner, S&P 2017; NRG's footnote 2
    Logit            -L_y                                    Zhao et al., NeurIPS 2021
    CalibratedCrossEntropy  -log softmax(L / (L_(1) - L_(2)))_y    Weng et al., TIFS 2023
    Cosine           -cos(F(x'), w),  w = d L_y / d F        Weng et al., TIFS 2023
    EmbeddingCosine  -cos(F(x'), F(r)),  r the clean or another image; faces, retrieval
    FeatureTuning    sum F(x'') * w, from x' by another attack    Zeng et al., ICASSP 2024
    Nrdm             ||F(x') - F(x)||                        Naseer et al., 2018
    Fda              log ||F(x')|_low|| - log ||F(x')|_high||  Ganeshan et al., ICCV 2019
    Fia              -sum F(x') * w,  w the aggregate gradient of the logit     Wang et al., ICCV 2021
    Naa              -sum (F(x') - F(black)) * w,  w the integrated attention   Zhang et al., CVPR 2022
    Ila              <F(x'') - F(x), F(x') - F(x)>,  x' by another attack       Huang et al., ICCV 2019
    Tap              J + lambda ||T(F(x')) - T(F(x))||^2 + eta |R(x' - x)|      Zhou et al., ECCV 2018
    Fcr              -1 / (beta / ||x' - x|| + J),  J the softened cross entropy    FCR, submitted to ICLR 2021

Features are read at one layer, or at several at once: pass a name or a tuple of names.
"""

from tfadv.parts.objectives.classes import CalibratedCrossEntropy, CrossEntropy, Logit, Margin
from tfadv.parts.objectives.contributive import Fcr
from tfadv.parts.objectives.embeddings import EmbeddingCosine
from tfadv.parts.objectives.feature_disruption import Fda, Nrdm
from tfadv.parts.objectives.importance import Fia, Naa
from tfadv.parts.objectives.intermediate import Ila, Tap
from tfadv.parts.objectives.targets import Cosine, FeatureTuning

__all__ = [
    "CalibratedCrossEntropy",
    "Cosine",
    "CrossEntropy",
    "EmbeddingCosine",
    "Fcr",
    "Fda",
    "FeatureTuning",
    "Fia",
    "Ila",
    "Logit",
    "Margin",
    "Naa",
    "Nrdm",
    "Tap",
]
