"""What a cell can hold: how a number is found, in a file for each kind."""
