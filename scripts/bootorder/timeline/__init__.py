"""What a boot spent its time on: recording it, the critical path, and showing both."""
