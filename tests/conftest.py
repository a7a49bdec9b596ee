"""What all tests share: how long hypothesis looks for counterexamples, and how it reports them."""

import os

from hypothesis import HealthCheck, settings

# Shared machines are slow now and then: a deadline would fail tests that are right.
settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
