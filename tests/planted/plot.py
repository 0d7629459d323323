"""Faults in plot."""

from planted._fault import Fault

FAULTS: list[Fault] = []
