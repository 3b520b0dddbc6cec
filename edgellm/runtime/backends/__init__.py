"""Back ends: each module has `open_session(folder) -> Session` (see `base`)."""
