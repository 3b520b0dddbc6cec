"""Known vulnerabilities of what the service is pinned to, by pip-audit.

    python tools/audit.py [--where-possible]

Exit code 0: all pins were looked up and none is vulnerable; 1: some are; 2: some could not be looked up, because the database of
vulnerabilities cannot be reached from here or does not know them. With --where-possible the last is told, and no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "constraints" / "serve.txt"
WELL, VULNERABLE, UNKNOWN = 0, 1, 2
SECONDS = 300


def asked(pins: Path) -> list[dict[str, Any]] | str:
    """What pip-audit says of each pin; or why it says nothing."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip"]
    try:
        done = subprocess.run(
            [*command, "--format", "json", "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        return list(json.loads(done.stdout)["dependencies"])
    except subprocess.TimeoutExpired:
        return f"it took more than {SECONDS} s"
    except ValueError:
        return (done.stderr.strip().splitlines() or ["it says nothing"])[-1]


def judged(answer: list[dict[str, Any]] | str) -> tuple[int, list[str]]:
    """Exit code, and what to tell. pip-audit itself finds nothing wrong where it has looked at nothing."""
    if isinstance(answer, str):
        return UNKNOWN, [f"NOT AUDITED: {answer}"]
    vulnerable = [
        f"{one['name']} {one['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'no version yet'}"
        for one in answer
        for found in one.get("vulns", ())
    ]
    skipped = [one["name"] for one in answer if "skip_reason" in one]
    told = [f"{len(answer) - len(skipped)} of {len(answer)} pins were looked up, {len(vulnerable)} findings"]
    if skipped or not answer:
        names = ", ".join(skipped[:3]) + (", ..." if len(skipped) > 3 else "")
        told.append(
            f"NOT AUDITED: {len(skipped)} pins; the database of vulnerabilities did not answer for {names}"
        )
    return VULNERABLE if vulnerable else UNKNOWN if skipped or not answer else WELL, [*vulnerable, *told]


def main(arguments: list[str]) -> int:
    """Look, tell, and say how it went."""
    code, told = judged(asked(PINS))
    for line in told:
        print(f"audit of {PINS.relative_to(ROOT)}: {line}")
    return WELL if code == UNKNOWN and "--where-possible" in arguments else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
