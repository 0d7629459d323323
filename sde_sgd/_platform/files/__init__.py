"""Results as files: written whole or not at all, sealed, and checked when they are read."""
