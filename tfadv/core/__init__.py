"""The interfaces of the parts of an attack, and what all of them need: compilation, random numbers, gradients."""
