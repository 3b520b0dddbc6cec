"""The integer contract: fixed-point primitives, tables, the golden model."""
