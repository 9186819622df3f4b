"""Photographs on a borrowed GPU, without internet, in one short run."""
