"""Recorded days shared by these tests."""

from recorded_days import pristine_day, recorded_day, road, unsealed_day

__all__ = ["pristine_day", "recorded_day", "road", "unsealed_day"]
