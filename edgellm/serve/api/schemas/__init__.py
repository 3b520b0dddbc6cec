"""Bodies of requests and answers. Requests are checked by them; answers are described by them, and tests hold them to it."""
