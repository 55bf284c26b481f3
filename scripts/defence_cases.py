"""What `scripts/defences.py` measures: networks, attacks and defences as data, and NIP's two controls.

An attack is (recipe, settings). A defence is the line that makes it, of the names in `tfadv.defences`, or the file of
another network. In such a line {nets} is the folder of trained files, {name} the network, {data} what the learned
purifiers were trained on and nip(settings) NIP, fitted to the network. What needs a file or a name that is not there
is left out, and the table says so.
"""

import dataclasses
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfadv import defences, load, recipes
from tfadv.core import seeds
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Attack, Forward
from tfadv.core.types import Tensor
from tfadv.defences.purified import Purifier

#: Data set -> the file of its images in the folder of reference data.
DATA = {"cifar10": "cifar10_part.npz", "gtsrb": "gtsrb48_part.npz"}
#: Data set -> the one that learned purifiers are trained on.
LEARNED = {"cifar10": "cifar10", "gtsrb": "gtsrb", "imagenet": "cifar10"}
#: Network -> its data set.
NETWORKS = {
    "cifar10-vgg19": "cifar10",
    "cifar10-alexnet": "cifar10",
    "gtsrb-lenet5": "gtsrb",
    "gtsrb-resnet20": "gtsrb",
}
#: Data set -> epsilon of the gradient attacks, grey levels: its l2 is that of FGSM in the NIP paper's Table II (0.4 of
#: 32 x 32, 1.9 of 48 x 48 and 1.3 of 224 x 224 pixels, on the scale of 0..1).
EPSILON = {"cifar10": 2.0, "gtsrb": 6.0, "imagenet": 1.0}
#: ... -> the universal perturbation's; one as small as the paper's fools few.
UNIVERSAL = {"cifar10": 10.0, "gtsrb": 24.0, "imagenet": 10.0}
#: ... -> pixels that the one-pixel attack may change.
PIXELS = {"cifar10": 5, "gtsrb": 10, "imagenet": 5}
#: l2 of PGD on the scale of 0..1, the paper's Fig. 8.
SIZES = {"cifar10": (0.2, 0.4, 0.8, 1.2, 1.6), "gtsrb": (0.5, 1.0, 2.0, 4.0), "imagenet": (0.4, 0.8, 1.2, 1.6, 2.2)}


def attacks(data: str) -> dict[str, tuple[str, dict]]:
    """The eleven attacks of the NIP paper, searches with budgets that two cores can pay."""
    epsilon = {"epsilon": EPSILON[data]}
    return {
        "FGSM": ("fgsm", epsilon),
        "BIM": ("bim", epsilon),
        "MI-FGSM": ("mim", epsilon),
        "JSMA": ("jsma", {"theta": 51.0, "gamma": 0.05}),
        "PGD": ("pgd", epsilon),
        "DeepFool": ("deepfool", {}),
        "UAP": ("uap", {"epsilon": UNIVERSAL[data], "images": 200, "passes": 3}),
        "AUNA": ("auna", {"sizes": 50, "tries": 2}),
        "PWA": ("pwa", {"queries": 1000, "sizes": 50, "tries": 2, "halvings": 3}),
        "Pixel": ("one_pixel", {"pixels": PIXELS[data], "population": 50, "generations": 19}),
        "Boundary": ("boundary", {"queries": 2000}),
    }


def attack(case: tuple[str, dict]) -> Attack:
    """The attack of a case."""
    name, settings = case
    return getattr(recipes, name)(**settings)


#: Those that take seconds on photographs, too.
CHEAP = ("FGSM", "BIM", "MI-FGSM", "PGD", "DeepFool", "UAP", "AUNA")
#: Those whose purified images TKNC and PSNR are of: the paper's Fig. 9.
CONSISTENT = ("PGD", "PWA")

#: Row -> the line of the defence, as the paper sets it (section IV-A).
DEFENCES = {
    "NIP": "nip()",
    "- its values shuffled": "Control(nip(), 'shuffled')",
    "- a random candidate": "Control(nip(), 'random')",
    "NIP, as printed": "nip(retrieval='similarity')",
    "- as printed, shuffled": "Control(nip(retrieval='similarity'), 'shuffled')",
    "SS": "Median(2)",
    "CBDR": "BitDepth(4)",
    "TVM": "TotalVariation(weight=0.1)",
    "JC": "Jpeg(80)",
    "STL": "SparseTransformation('{nets}/{data}-sparse.npz')",
    "SR": "SuperResolution('{nets}/{data}-super_resolution.npz')",
    "FDistill": "FeatureDistillation(1.5, 51.5, 'triangle', 'ycbcr')",
    "FDistill, authors'": "FeatureDistillation()",
    "ComDefend": "ComDefend('{nets}/{data}-comdefend.npz')",
    "R&P": "ResizePad()",
    "noise": "GaussianNoise(8.0)",
    "CAS": "load('{nets}/{name}-cas.npz')",
    "FDenoise": "load('{nets}/{name}-denoise.npz')",
}
#: Rows of the table of sizes (Fig. 8) and of the attacks that know the defence.
SIZED = ("NIP", "NIP, as printed", "SS", "FDistill", "STL")
ADAPTED = ("SS", "JC", "FDistill", "R&P", "NIP", "NIP, as printed")
#: PGD's where it knows the defence: the better of two ascents of each image.
KNOWING = {"steps": 20, "restarts": 2}
#: Copies that an attack averages its gradient over where a defence draws.
DRAWS = 10

#: Attack of the NAA paper -> recipe; all at the source's middle layer, epsilon 16, ten steps.
TRANSFER = {
    "MIM": "mim",
    "NRDM": "nrdm",
    "FDA": "fda",
    "FIA": "fia",
    "NAA": "naa",
    "MIM-PD": "mim_pd",
    "NRDM-PD": "nrdm_pd",
    "FDA-PD": "fda_pd",
    "FIA-PD": "fia_pd",
    "NAA-PD": "naa_pd",
}
SOURCE, LAYER = "googlenet", "inception_4a_output"
#: The network that is defended, and the members of NIPS-r3's ensemble, in its order.
TARGET, MEMBERS = "mobilenet_v1", ("mobilenet_v1", "mobilenet_v2", "edgetpu_100")
#: Column of the table like NAA's Table 3 -> the line of the defence of TARGET; None is none.
ADVANCED = {
    "none": None,
    "R&P": "r_and_p(10)",
    "NIPS-r3": "NipsR3()",
    "FD": "FeatureDistillation()",
    "ComDefend": "ComDefend('{nets}/{data}-comdefend.npz')",
    "RS": "Smoothing(16.0, samples=50, alpha=0.05)",
    "JPEG": "Jpeg(75)",
    "median": "Median(3)",
    "NIP": "nip()",
    "NIP, as printed": "nip(retrieval='similarity')",
}


class Absent(Exception):
    """A defence that cannot be made here, and why."""


def made(line: str, nip: Any = None, **words: str) -> Any:
    """The defence, or the other network, of a line of `DEFENCES`; nip(**settings) fits NIP. Raises `Absent`."""
    spoken = line.format(**words)
    names = {**vars(defences), "Control": Control, "nip": nip, "load": _present(load)}
    try:
        return eval(spoken, names)
    except (NameError, OSError) as error:
        raise Absent(f"{spoken}: {str(error).rstrip('.')}") from error


def _present(load: Any) -> Any:
    def checked(path: str) -> Any:
        if not Path(path).is_file():
            raise FileNotFoundError("no such file")
        return load(path)

    return checked


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Control(Purifier):
    """What NIP does with what it has not found: a random candidate, or its own candidate with its values shuffled.

    Shuffled, the perturbation has NIP's range, mean and length, and nothing of its shape.
    """

    fitted: Any
    how: str
    needs_network = True

    @property
    def fitted_to(self) -> str | None:
        return self.fitted.fitted_to

    @property
    def arrays(self) -> tuple:
        return self.fitted.arrays

    def purify(self, forward: Forward, images: Tensor, keys: Tensor) -> Tensor:
        if self.how == "random":
            count = len(self.fitted.keys)
            chosen = seeds.uniform(keys, (), tf.int32, 0, count)
        else:
            chosen = self.fitted.nearest(forward, tf.stop_gradient(images))
        rho = tf.cast(tf.gather(tf.constant(self.fitted.perturbations), chosen), images.dtype)
        if self.how == "shuffled":
            values = int(images.shape[1] * images.shape[2] * images.shape[3])
            order = tf.argsort(seeds.uniform(keys, (values,)), axis=1)
            flat = tf.gather(tf.reshape(rho, [-1, values]), order, axis=1, batch_dims=1)
            rho = tf.reshape(flat, tf.shape(images))
        mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
        purified = images + self.fitted.nip.strength * mean * rho
        return tf.ensure_shape(tf.clip_by_value(purified, BLACK, WHITE), images.shape)

    def __repr__(self) -> str:
        return f"Control({self.fitted!r}, {self.how!r})"
