"""``python -m verification``: are the results the committed ones on this machine?

What is not up to date is rerun in a copy, and compared with what is committed (`make verify`).
docs/reproducibility.md says what the exit codes mean.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.core import portable
from pipeline.core.errors import PipelineError
from verification.comparison import Finding, compare
from verification.rerun import rerun
from verification.workspace import Copy

REPOSITORY = Path(__file__).resolve().parents[1]
TOLERANCE = 0.05  # of accuracies, on a processor that rounds differently


def main() -> None:
    """Parse the command line, verify, and exit as the module says."""
    parser = argparse.ArgumentParser(
        prog="python -m verification", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--all", action="store_true", help="rerun also what is up to date")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="make the copy there, keep it")
    arguments = parser.parse_args()
    portable.advise()
    try:
        if arguments.keep:
            same = verify(arguments.keep, arguments.all)
        else:
            with tempfile.TemporaryDirectory(prefix="senn-verify-") as folder:
                same = verify(Path(folder, "copy"), arguments.all)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0 if same else 1)


def verify(folder: Path, everything: bool) -> bool:
    """Rerun in `folder` what is not up to date, or `everything`; print the comparison.

    Returns
    -------
    Whether results are equal, or as close as this processor can promise.

    Raises
    ------
    PipelineError
        If the copy cannot be made, or a stage fails in it.
    """
    copy = Copy.of(REPOSITORY, folder)
    print(f"verifying {copy.revision} in {folder}", flush=True)
    rerun(copy, everything)
    findings = compare(copy)
    return judge(findings, portable.IN_FORCE)


def judge(findings: Sequence[Finding], promised: bool) -> bool:
    """Print `findings` and return the verdict; `promised`: the bytes have to be the same."""
    for finding in findings:
        print(f"{finding.state:10} {finding.path}")
        for line in finding.differences:
            print(f"{'':10}   {line}")
    different = [finding for finding in findings if not finding.same]
    print(f"\n{len(findings) - len(different)} of {len(findings)} results are as committed")
    if not different or promised:
        return not different
    failed = [finding.path for finding in different if finding.matters(TOLERANCE)]
    outcome = f"Not within tolerance: {', '.join(failed)}" if failed else "All within tolerance"
    print(
        "This processor rounds differently, so accuracies may differ by "
        f"{TOLERANCE} and verdicts must be the same. {outcome}."
    )
    return not failed


if __name__ == "__main__":
    main()
