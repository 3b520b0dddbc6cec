"""Who generates: an engine in this process, or one in a process of its own."""
