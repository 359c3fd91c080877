"""The one exception whose message is meant for the person at the terminal."""

import sys
from collections.abc import Callable


class PipelineError(Exception):
    """Something the user can mend; the message says what was tried and what to do."""


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; a `PipelineError` becomes one clear message and exit code 1.

    Anything else is a defect of ours and keeps its traceback.
    """
    try:
        main()
    except PipelineError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
