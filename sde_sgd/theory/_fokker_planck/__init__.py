"""The Fokker-Planck equation on a line: grid, generator, time stepping."""
