"""A stack without Docker: PostgreSQL from a wheel, the apps as local processes."""
