"""Models beside each other: trained for the same minutes, scored, their errors counted."""
