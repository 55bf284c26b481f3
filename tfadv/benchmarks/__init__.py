"""Benchmarks: attacks against their bare passes through the network, folders of images against crafting in memory.

passes    an attack over the passes of its network that it cannot do without, in time and in memory
engine    images per second through a folder with an attack that costs nothing; a folder over crafting in memory
"""
