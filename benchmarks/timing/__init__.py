"""Speed and memory, measured side by side: what tools/benchmark.py runs."""
