"""The service under load, beside llama.cpp's server: `python -m benchmarks.service` (environment `serve`)."""
