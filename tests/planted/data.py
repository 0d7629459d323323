"""Faults in data."""

from planted._fault import Fault

FAULTS: list[Fault] = []
