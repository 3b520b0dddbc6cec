"""Hypothesis: the same examples in every run, and no time limits, which a busy machine would break."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "edgellm",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("edgellm")
