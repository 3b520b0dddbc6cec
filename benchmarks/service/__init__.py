"""The service under load, beside llama.cpp's server: `python -m benchmarks.service` (environment `serve`)."""

from pathlib import Path

RESULTS = Path("benchmarks/results/service.json")
