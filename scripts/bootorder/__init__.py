"""Boots a stack of services that share one PostgreSQL, in the order that keeps every owner's tables."""
