"""How tfadv is packaged: cli/ and checkpoints/ are installed as tfadv.cli and tfadv.checkpoints."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.findall(r'^__version__ = "(.+)"$', (HERE / "tfadv/__init__.py").read_text(encoding="utf-8"), re.MULTILINE)[
    0
]

#: The stack of the papers' era, for Python 3.10 and 3.11; tensorflow-addons ends here.
PAPER = [
    "tensorflow>=2.15,<2.16",
    "keras>=2.15,<2.16",
    "tensorflow-addons>=0.23,<0.24",
]
TEST = [
    "universal_pathlib>=0.3",  # pure Python, as fsspec, which it brings
    "click>=8.2",  # its CliRunner keeps standard error apart
    "pytest>=7.2",
    "pytest-xdist>=3.3",
    "pytest-timeout>=2.1",
    "hypothesis>=6.80",
    "nbclient>=0.9",
    "nbformat>=5.7",
    "ipykernel>=6.20",
    "ruff>=0.5",
    "mypy>=1.8",
    "coverage>=7.10",
]
#: What `make docs` builds the site with.
DOCS = [
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.5",
    "mkdocstrings[python]>=0.26",
]
#: What `--ray` runs on.
RAY = ["ray>=2.50,<3"]
#: Other packages that `scripts/peers.py` and tests/test_peers.py compare with.
PEERS = [
    "foolbox>=3.3.4",
    "adversarial-robustness-toolbox>=1.20.1",
    "cleverhans>=4.0",
]
#: Folders behind URLs; each kind of store needs its own package beside: s3fs, gcsfs, huggingface_hub.
REMOTE = ["universal_pathlib>=0.3"]
#: What `scripts/best_attack.py` searches with.
SEARCH = ["optuna>=3.4"]
LONG_DESCRIPTION = """\
Adversarial images that *transfer*: made on one network, they fool others that were never seen. A package for TensorFlow
and Keras with NAA, FIA and their baselines as their authors' programs compute them, the defences they are measured
against, and a command line that turns a folder of photographs into a folder of adversarial ones.

```sh
tfadv demo demo/        # attacks small digit networks that are in the package: a minute, no download
tfadv attack naa images/ adv/ --source keras:MobileNetV2
tfadv evaluate images/ adv/ --target keras:VGG16
```

An attack is one line of parts, and any combination of parts is an attack:

```python
import tfadv
from tfadv import Ascent, DiverseInputs, Linf, Momentum, Naa, Patchwise

network = tfadv.load("inception_v3")
attack = Ascent(Naa("Mixed_5b"), Momentum() >> Patchwise(1.6), Linf(16), view=DiverseInputs())
adversarial = attack.on(network)(images, tfadv.untargeted(labels), seed=0)
```

Images are float32 RGB [N, H, W, 3] in 0..255. The same code runs on the current TensorFlow with Keras 3 and on
TensorFlow 2.15 with Keras 2.
"""

setup(
    name="tfadv",
    version=VERSION,
    description="Adversarial images that transfer, for TensorFlow and Keras: NAA, FIA, baselines and defences",
    long_description=LONG_DESCRIPTION,
    long_description_content_type="text/markdown",
    author="the tfadv authors",
    keywords=[
        "adversarial examples",
        "adversarial attacks",
        "transferability",
        "robustness",
        "deep learning",
        "tensorflow",
        "keras",
    ],
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["tfadv", "tfadv.*"]), "tfadv.cli", "tfadv.checkpoints"],
    package_dir={"tfadv": "tfadv", "tfadv.cli": "cli", "tfadv.checkpoints": "checkpoints"},
    package_data={
        "tfadv": ["py.typed"],
        "tfadv.cli": ["*.json"],
        "tfadv.models": ["digits_weights/*"],
        "tfadv.registry": ["*.json"],
        "tfadv.checkpoints": ["*.json"],
        "tfadv.reproduce": ["published/*.csv", "scales/*.json"],
        "tfadv.pages": ["*.css", "*.js"],
    },
    install_requires=[
        "tensorflow>=2.15",
        "keras>=2.15",
        "numpy>=1.23.5",
        "scipy>=1.10",
        "click>=8.1",
        "pillow>=9.4",
        "tqdm>=4.64",
        "pooch>=1.7",
        "pydantic>=2.5",
        "rich>=13",
        "scikit-learn>=1.2",
        "matplotlib>=3.6",
    ],
    extras_require={
        "paper": PAPER,
        "gpu": ["tensorflow[and-cuda]>=2.15"],
        "test": TEST,
        "docs": DOCS,
        "ray": RAY,
        "peers": PEERS,
        "search": SEARCH,
        "remote": REMOTE,
    },
    entry_points={"console_scripts": ["tfadv=tfadv.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Topic :: Security",
        "Typing :: Typed",
    ],
)
