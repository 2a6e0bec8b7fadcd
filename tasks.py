"""What `inv` finds here: the tasks of scripts/bootorder/tasks.py. `./inv` runs them without this file."""

from scripts.bootorder.bootstrap import enter_from_invoke

enter_from_invoke()  # whichever Python runs plain `inv`: the packages of the tasks are in .venv

from scripts.bootorder.tasks import ns  # noqa: E402

__all__ = ["ns"]
