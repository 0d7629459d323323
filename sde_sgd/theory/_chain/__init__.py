"""The stationary law of SGD itself, at a finite learning rate: its transition kernel on a grid."""
