"""What measures and compares models; run from the repository's root, not installed."""
