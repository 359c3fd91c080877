"""``python -m verification``: are results here what is committed?

Exit code 0: they are the same, byte for byte. 1: something differs. 2: it could not be found out.
Where the processor cannot promise the same bytes (`pipeline.core.portable`), 0 says that every
committed accuracy was met within `TOLERANCE` and every verdict is the same.
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
TOLERANCE = 0.05  # of accuracies, on a processor that rounds otherwise


def main() -> None:
    """Parse the command line, verify, and exit as the module says."""
    parser = argparse.ArgumentParser(
        prog="python -m verification", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--all", action="store_true", help="rerun what is up to date, too; take nothing on trust"
    )
    parser.add_argument(
        "--keep", metavar="FOLDER", type=Path, help="put the copy there, and leave it there"
    )
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
        sys.exit("interrupted")
    sys.exit(0 if same else 1)


def verify(folder: Path, everything: bool) -> bool:
    """Rerun in `folder` what is not up to date, or `everything`; print how it compares.

    Returns
    -------
    Whether it passes: equal, or as close as this processor can promise.

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
    """Print `findings` and the verdict, which is returned; `promised`: the same bytes are due."""
    for finding in findings:
        print(f"{finding.state:10} {finding.path}")
        for line in finding.differences:
            print(f"{'':10}   {line}")
    different = [finding for finding in findings if not finding.same]
    print(f"\n{len(findings) - len(different)} of {len(findings)} results are as committed")
    if not different or promised:
        return not different
    failed = [finding.path for finding in different if finding.matters(TOLERANCE)]
    print(
        "This processor rounds otherwise. "
        + (f"Beyond the tolerance: {', '.join(failed)}" if failed else "All is within the")
        + f" tolerance: accuracies within {TOLERANCE}, verdicts the same"
    )
    return not failed
