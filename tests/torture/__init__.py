"""What is killed, cut short and damaged on purpose, many times over."""
