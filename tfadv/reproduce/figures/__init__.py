"""What a part can show beside its numbers, in a file for each kind."""
