"""
What holds for every test.
"""

from hypothesis import HealthCheck, settings

# A busy machine is no reason for a red test, whichever tests are run.
settings.register_profile(
    "steady", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")
