"""The one exception whose message is meant for the person at the terminal."""


class PipelineError(Exception):
    """Something the user can mend; the message says what was tried and what to do."""
