"""What in a repository will hurt a stack of several owners: read from its files, nothing of it is run."""
