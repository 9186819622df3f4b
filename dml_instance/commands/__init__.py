"""What the command line does, a module a command; ``dml`` and the scripts of tools/ share them.

Each module has ``add_options(parser)`` and ``main(args)``, which returns the exit status.
"""
