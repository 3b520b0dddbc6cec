"""Architectures small enough for tests, each with something the others lack."""

from edgellm.numerics.model import Architecture

HOME = Architecture(vocab=512, width=64, layers=5, heads=4, kv_heads=2, head_dim=16, ffn=192, context=256)
TINY = Architecture(vocab=40, width=16, layers=2, heads=2, kv_heads=1, head_dim=8, ffn=24, context=24)
MINIMAL = Architecture(vocab=16, width=8, layers=2, heads=1, kv_heads=1, head_dim=8, ffn=8, context=12)
SHARED_KV = Architecture(vocab=97, width=24, layers=1, heads=6, kv_heads=2, head_dim=4, ffn=40, context=33)
FULL_KV = Architecture(vocab=64, width=32, layers=3, heads=3, kv_heads=3, head_dim=12, ffn=20, context=48)
NARROW_HEADS = Architecture(vocab=33, width=20, layers=2, heads=4, kv_heads=4, head_dim=2, ffn=8, context=40)

SMALL = {"tiny": TINY, "shared_kv": SHARED_KV, "full_kv": FULL_KV, "narrow_heads": NARROW_HEADS}
