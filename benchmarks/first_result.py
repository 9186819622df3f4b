"""What the first result of a fresh process takes, of an exported model or of one of torch.

    python -m benchmarks.first_result exported output/nuclei_model image.png
    python -m benchmarks.first_result torch output/nuclei/config.yaml dml://nuclei image.png

Prints a line of JSON: ``first_at``, the clock at the first result; ``second_s``, seconds of a
second one; ``processor_s``, seconds of processors until the first; ``peak_mib``, the most memory
held; and ``objects`` found. Imports are part of what is measured, so each function has its own.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from .memory import peak_memory_mib


def exported_model(folder: str) -> Callable[[str], Any]:
    """A function from an image file to what an exported model finds in it."""
    from dml_instance.runtime import load

    return load(folder)


def model_of_torch(config_file: str, weights: str) -> Callable[[str], Any]:
    """The same of a model as `dml segment` loads it, on the CPU."""
    import torch

    from dml_instance.data import build_test_mapper
    from dml_instance.engine import NO_DATA, load_trained

    options = ["MODEL.DEVICE", "cpu"]
    model, cfg = load_trained(config_file, weights, options, needs=NO_DATA)
    mapper = build_test_mapper(cfg)

    @torch.no_grad()
    def find(path: str) -> Any:
        return model([mapper({"file_name": path})])[0]["instances"]

    return find


KINDS = {"exported": exported_model, "torch": model_of_torch}


def main(kind: str, *arguments: str) -> dict:
    """Find the objects of an image twice; ``arguments`` are those of the kind, and the image."""
    *of_model, image = arguments
    find = KINDS[kind](*of_model)
    found = find(image)
    first_at, processor = time.time(), time.process_time()
    find(image)
    return {
        "first_at": first_at,
        "second_s": round(time.time() - first_at, 3),
        "processor_s": round(processor, 2),
        "peak_mib": round(peak_memory_mib()),
        "objects": len(found),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
