"""Tests of the grouping, by maps drawn by hand and by slow loops."""
