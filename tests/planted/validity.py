"""Faults in validity."""

from planted._fault import Fault

FAULTS: list[Fault] = []
