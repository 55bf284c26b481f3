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
    "click>=8.2",  # its CliRunner keeps standard error apart
    "pytest>=7.2",
    "pytest-xdist>=3.3",
    "hypothesis>=6.80",
    "nbclient>=0.9",
    "nbformat>=5.7",
    "ipykernel>=6.20",
    "ruff>=0.5",
    "mypy>=1.8",
]
#: Other packages that `scripts/peers.py` and tests/test_peers.py compare with.
PEERS = [
    "foolbox>=3.3.4",
    "adversarial-robustness-toolbox>=1.20.1",
    "cleverhans>=4.0",
]

setup(
    name="tfadv",
    version=VERSION,
    description="Adversarial images that transfer: NAA, FIA and their baselines for TensorFlow and Keras",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["tfadv", "tfadv.*"]), "tfadv.cli", "tfadv.checkpoints"],
    package_dir={"tfadv": "tfadv", "tfadv.cli": "cli", "tfadv.checkpoints": "checkpoints"},
    package_data={
        "tfadv.cli": ["*.json"],
        "tfadv.models": ["digits_weights/*"],
        "tfadv.registry": ["*.json"],
        "tfadv.checkpoints": ["*.json"],
        "tfadv.reproduce": ["published/*.csv", "scales/*.json"],
        "tfadv.reproduce.pages": ["*.css"],
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
    extras_require={"paper": PAPER, "gpu": ["tensorflow[and-cuda]>=2.15"], "test": TEST, "peers": PEERS},
    entry_points={"console_scripts": ["tfadv=tfadv.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
