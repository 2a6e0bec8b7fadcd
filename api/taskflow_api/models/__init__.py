"""Every table of the app, registered in one place.

`SQLModel.metadata.create_all` makes the tables of the classes that are imported when it runs: a model that nobody has
imported is left out without a word. So whatever makes or checks tables imports this package; a new model gets its line
here.
"""

from .audit_log import AuditLog
from .project import Project
from .task import Task
from .worker import Worker

__all__ = ["AuditLog", "Project", "Task", "Worker"]
