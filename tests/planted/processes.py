"""Faults in processes."""

from planted._fault import Fault

FAULTS: list[Fault] = []
