import os
from types import SimpleNamespace

settings = SimpleNamespace(analytics_database_url=os.environ["ANALYTICS_DATABASE_URL"])
