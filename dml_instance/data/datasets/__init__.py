"""Data sets that are known by name; ``builtin`` registers them with Detectron2."""
