"""How fast sde_sgd is beside other libraries and hand-written C: `python -m benchmarks`."""
