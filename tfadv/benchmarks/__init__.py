"""What tfadv costs on this machine: attacks beside their bare passes, and folders of images beside crafting alone.

passes    an attack over the passes of its network that it cannot do without, in time and in memory
engine    images per second through a folder with an attack that costs nothing; a folder over crafting in memory
"""
