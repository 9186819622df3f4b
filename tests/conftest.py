import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from dml_instance.data import register_coco


@pytest.fixture
def registered():
    """Register data sets that are forgotten after the test."""
    names = []

    def register(name, *where):
        register_coco(name, *map(str, where))
        names.append(name)

    yield register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
