"""What holds for all tests."""

from rxlapce.testing.thoroughness import choose_profile

choose_profile()
