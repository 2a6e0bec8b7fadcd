"""What a repository has that bootorder could boot: looked at from outside, nothing of it is run."""
