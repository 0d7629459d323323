"""Quadratic losses: covariances of SGD and its SDE in closed form, whole or by products with vectors."""
