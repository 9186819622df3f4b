"""Forms in which annotations come in and results go out."""
