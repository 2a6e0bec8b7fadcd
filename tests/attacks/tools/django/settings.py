import os
from urllib.parse import unquote, urlsplit

_URL = urlsplit(os.environ["DATABASE_URL"])

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(_URL.path[1:]),
        "USER": unquote(_URL.username or ""),
        "PASSWORD": unquote(_URL.password or ""),
        "HOST": _URL.hostname,
        "PORT": _URL.port,
    }
}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "owner"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
