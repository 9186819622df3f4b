"""What several processes give, against what one gives, on drawn images; see ``__main__``."""
