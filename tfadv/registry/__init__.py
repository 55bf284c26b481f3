"""Attacks, defences and networks by name, and how they are built from settings."""
