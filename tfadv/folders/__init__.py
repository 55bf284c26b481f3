"""Folders of images in and out: crafting, purifying, judging; each can be interrupted and resumed."""
