"""Faults in engine."""

from planted._fault import Fault

FAULTS: list[Fault] = []
