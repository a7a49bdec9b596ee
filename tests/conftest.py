"""What all tests share: how long hypothesis looks for counterexamples, and how it reports them."""

import os

from hypothesis import HealthCheck, settings

# Shared machines are slow now and then: a deadline would fail tests that are right.
_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", max_examples=50, **_COMMON)
settings.register_profile("thorough", max_examples=2_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
