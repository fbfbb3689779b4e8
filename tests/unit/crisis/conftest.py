"""Property tests run the same examples every time where CI is set; elsewhere they keep looking for new ones."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=80, print_blob=True)
settings.register_profile(
    "search",
    deadline=None,
    max_examples=int(os.environ.get("CRISIS_EXAMPLES", "120")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "search")
