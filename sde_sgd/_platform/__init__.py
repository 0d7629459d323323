"""What a long program needs of the machine it runs on: devices, signals, progress, settings, and printing."""
