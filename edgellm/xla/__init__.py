"""The contract in JAX: XLA compiles it for CPUs, GPUs and TPUs."""
