"""What `inv` finds here: the tasks of scripts/bootorder/tasks.py. `./inv` runs them without this file."""

from scripts.bootorder.tasks import ns

__all__ = ["ns"]
