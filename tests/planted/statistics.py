"""Faults in statistics."""

from planted._fault import Fault

FAULTS: list[Fault] = []
