"""Measures: how the numbers in the tables of an experiment are computed, one file for each kind."""
