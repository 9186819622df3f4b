"""Models beside each other: the same minutes on the same machine, and where one is better than the other."""
