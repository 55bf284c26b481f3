"""Whole attacks: the one ascent loop, the starts it sets out from, and the papers' methods as one-line recipes."""
