import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

# As in the tools: everything is imported first.
CODE = """
import torch
import dml_instance.engine.pictures
from dml_instance.engine import use_huge_pages
use_huge_pages()
large = torch.ones(2**26)
print(open("/proc/self/smaps").read())
"""


@pytest.mark.skipif(torch.__version__ < "2.9", reason="this torch knows of no huge pages")
@pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(), reason="the system does not say how memory is mapped"
)
@pytest.mark.parametrize("chosen", [None, "0"])
def test_large_tensors_lie_in_huge_pages_unless_the_user_says_otherwise(chosen):
    """The system's own word on a tensor's memory, "hg": huge pages were asked for."""
    environment = {key: value for key, value in os.environ.items() if key != "THP_MEM_ALLOC_ENABLE"}
    environment |= {} if chosen is None else {"THP_MEM_ALLOC_ENABLE": chosen}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env=environment,
    )
    sizes_and_flags = re.findall(
        r"^Size: +(\d+) kB(?:\n.*)*?\nVmFlags:(.*)", result.stdout, flags=re.MULTILINE
    )
    is_asked_for = ["hg" in flags.split() for size, flags in sizes_and_flags if int(size) >= 2**18]
    assert is_asked_for
    assert any(is_asked_for) == (chosen is None)
