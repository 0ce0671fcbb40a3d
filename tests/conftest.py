"""What holds for all tests: Hypothesis does not judge how fast a busy machine draws its examples.

`fixed`, for runs that decide on a change, draws the same examples each time: what somebody changed decides, not luck.
Other runs look for more.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", settings.get_profile("shared"), derandomize=True)
settings.load_profile("shared")
