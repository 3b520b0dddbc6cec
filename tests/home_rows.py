"""A small fixed command corpus: what the tests of encoding and batches must find unchanged."""

from itertools import product

AREAS = ("kitchen", "attic", "home theater", "garage", "living room", "nursery", "hall", "cellar")
DEVICES, STATES, DEGREES = ("light", "fan", "blind"), ("on", "off"), (7, 18, 21.5)

ROWS = [
    *(
        (f"turn {s} the {a} {d}", f"HassTurn{s.title()} area= {a} domain= {d}", f"Turned {s} the {d}")
        for a, d, s in product(AREAS, DEVICES, STATES)
    ),
    *(
        (
            f"set the {a} to {n} degrees",
            f"HassClimateSetTemperature area= {a} temperature= {n}",
            f"{a} set to {n}",
        )
        for a, n in product(AREAS, DEGREES)
    ),
    ("what time is it", "HassGetCurrentTime", "It is 10:30"),
]
