"""Answers that are kept, because the same order has the same answer again.

`keys` says which orders are the same, `answers` what is kept and how it is checked, the stores where: SQLite or Redis, behind a
guard that lets no request fail or wait for them, and a small memory in front. `source.CachedSource` puts it all to use.
"""
