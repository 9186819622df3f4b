"""Other ways to instances: clusterings, other projects' groupings, and StarDist as a whole."""
