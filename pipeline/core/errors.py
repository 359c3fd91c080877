"""The exception whose message is meant for the person at the terminal."""


class PipelineError(Exception):
    """Something the user can fix; the message says what happened, where, and what to do."""
