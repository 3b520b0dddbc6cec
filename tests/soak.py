"""Many requests of all kinds through one engine, in a process of its own; prints KiB resident after each tenth.

python tests/soak.py REQUESTS [BACKEND]     the shipped home-260k; without a back end a random model on the native one
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from shapes import TINY

from edgellm.numerics.random import random_model
from edgellm.numerics.sampling import Sampling
from edgellm.runtime.device import Job
from edgellm.runtime.engine import Engine, Request

PARTS = 10


def resident() -> int:
    """KiB of this process in memory."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def engine_of(backend: str) -> Engine:
    if backend:
        from edgellm.runtime.llm import load

        return load("home-260k", backend).engine
    from edgellm.runtime.backends.native import NativeDevice

    model = random_model(TINY, 1)
    return Engine([lambda: NativeDevice(model, 4)])


def request(rng: random.Random, vocab: int, context: int) -> Request:
    """Greedy, drawn, by the host, with stop ids, deadlines, priorities; prompts that share beginnings, or not."""
    length = rng.randint(1, context // 2)
    head = [rng.randrange(3)] * (length // 2)
    prompt = head + [rng.randrange(vocab) for _ in range(length - len(head))]
    stops = frozenset(rng.sample(range(vocab), rng.randint(0, 3)))
    sampling = Sampling() if rng.random() < 0.7 else Sampling(rng.randrange(2**64), rng.randrange(1, 8192))
    job = Job(prompt, rng.randint(1, 6), stops, sampling)
    choose = (lambda logits, tokens: int(logits.argmax())) if rng.random() < 0.2 else None
    deadline = rng.choice((None, None, 60.0, 0.0))
    return Request(job, choose, deadline, rng.randint(0, 2))


def main(requests: int, backend: str = "") -> None:
    rng, engine = random.Random(1), engine_of(backend)
    arch = engine.device.arch
    for _ in range(PARTS):
        for _ in range(requests // PARTS // 8):
            answers = [engine.submit(request(rng, arch.vocab, arch.context)) for _ in range(8)]
            for answer in answers:
                if rng.random() < 0.1:
                    engine.cancel(answer)
            while not all(answer.done for answer in answers):
                engine.pump()
        if engine.busy or engine.queued:
            raise SystemExit(f"{engine.busy} slots busy and {engine.queued} requests queued behind the last")
        sys.stdout.write(f"{resident()}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
