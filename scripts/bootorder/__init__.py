"""Boots a stack of services that share one PostgreSQL, in the order that keeps every owner's tables."""

__version__ = "0.1.0"
KEY = "bootorder"  # of our part of invoke.yaml
