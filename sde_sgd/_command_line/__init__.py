"""What `python -m sde_sgd` does."""
