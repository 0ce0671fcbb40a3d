"""What holds for all tests: Hypothesis does not judge how fast a busy machine draws its examples."""

from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
