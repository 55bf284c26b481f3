"""Training small networks, plainly and adversarially, on small pictures."""
