"""What values and functions are, as text: to tell runs apart, and compiled programs."""
