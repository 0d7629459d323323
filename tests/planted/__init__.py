"""Faults planted in a copy of the package, each of which the tests must catch."""
