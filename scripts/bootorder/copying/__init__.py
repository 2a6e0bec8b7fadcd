"""Bringing these tasks into another repository, safely and more than once."""
