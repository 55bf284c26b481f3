"""Measures: how the numbers in the cells of a table are computed, one file for each kind."""
