"""Why the app does not start. The message is the one line that a person sees."""


class StartError(Exception):
    """The app cannot start, and a traceback would not tell why any better."""


class SettingsError(StartError):
    """An environment variable is missing or makes no sense."""
