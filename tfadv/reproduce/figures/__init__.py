"""Figures: grids of pictures that an experiment draws below its tables, one file for each kind."""
