"""Escape over a barrier: how long it takes, of the SDE and of SGD itself."""
