"""Ask for known vulnerabilities of the pinned libraries; say so where nobody can be asked.

Ends with 1 if there are some.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).parent.parent / "requirements-dev.txt"


def main() -> int:
    """Ask, and print what is known."""
    options = ["--requirement", str(PINS), "--disable-pip", "--require-hashes", "--format=json", "--timeout=15"]
    command = [sys.executable, "-m", "pip_audit", *options, "--progress-spinner=off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        libraries = json.loads(done.stdout)["dependencies"]
    except ValueError:  # no JSON: the data base was not reached
        why = done.stderr.strip().splitlines() or ["no reason"]
        print(f"audit: the libraries are NOT audited, since the data base cannot be reached: {why[-1][:300]}")
        return 0
    asked = [one for one in libraries if "skip_reason" not in one]
    why = "" if asked == libraries else "; the data base that can be reached does not know the others"
    print(f"audit: {len(asked) or 'NONE'} of {len(libraries)} libraries are audited{why}")
    found = [(one, problem) for one in asked for problem in one["vulns"]]
    for one, problem in found:
        better = ", ".join(problem["fix_versions"]) or "no version yet"
        print(f"  {one['name']} {one['version']}: {problem['id']}, mended in {better}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
