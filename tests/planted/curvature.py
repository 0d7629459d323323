"""Faults in curvature."""

from planted._fault import Fault

FAULTS: list[Fault] = []
