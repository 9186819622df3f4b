"""Programs of benchmarks called in this process, which has imported everything already."""

from detectron2.data import DatasetCatalog, MetadataCatalog


def call(program, *arguments):
    """A program's module with a command line, whose data sets are forgotten afterwards."""
    known = set(DatasetCatalog.list())
    try:
        program.main(program.argument_parser().parse_args([str(given) for given in arguments]))
    finally:
        forget_all_but(known)


def forget_all_but(known):
    """Take data sets of other names out of Detectron2's catalogs."""
    for name in set(DatasetCatalog.list()) - known:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
