"""To look for new examples: `CRISIS_EXAMPLES=5000 pytest tests/unit/crisis` tries so many for each property."""

import os

from hypothesis import HealthCheck, settings

if examples := os.environ.get("CRISIS_EXAMPLES"):
    settings.register_profile("search", deadline=None, max_examples=int(examples), suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("search")
