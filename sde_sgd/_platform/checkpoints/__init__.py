"""Runs that can be stopped and continued: what is written, where, and whose it is."""
