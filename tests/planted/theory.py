"""Faults in theory."""

from planted._fault import Fault

FAULTS: list[Fault] = []
