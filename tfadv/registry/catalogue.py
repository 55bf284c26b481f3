"""The attacks and defences by name: plain dicts from a name to the function or class that builds it.

The function that builds an attack of a paper is called its recipe.
"""

from collections.abc import Callable

from tfadv import defences
from tfadv.attacks import recipes
from tfadv.core.interfaces import Attack, Defence

#: Name on the command line -> recipe. Every setting of a recipe is a keyword with a default.
ATTACKS: dict[str, Callable[..., Attack]] = recipes.RECIPES

#: Name on the command line -> defence. A setting without a default takes a file that another command wrote.
DEFENCES: dict[str, Callable[..., Defence]] = defences.DEFENCES
