"""Faults in problems."""

from planted._fault import Fault

FAULTS: list[Fault] = []
