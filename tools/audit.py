"""Says what pip-audit found, and what it could not find out: an advisory service that is away is no clean bill.

`pip-audit --format json ... | python -m tools.audit`. Ends with 0 when everything was audited and nothing is known,
with 1 when something is, and with 2 when something could not be audited.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

CLEAN, VULNERABLE, UNKNOWN = 0, 1, 2
_NAMED = 5


def verdict(document: str) -> tuple[int, list[str]]:
    """The exit code, and lines for people, of what pip-audit printed. Anything but its JSON is an audit not done."""
    try:
        found: Sequence[dict[str, Any]] = json.loads(document)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return UNKNOWN, [
            "Nothing was audited: pip-audit gave no answer. Can the advisory service be reached?"
        ]
    lines = [
        f"{one['name']} {one['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no release'}"
        for one in found
        for flaw in one.get("vulns", ())
    ]
    skipped = [one["name"] for one in found if "skip_reason" in one]
    if skipped or not found:
        named = ", ".join(skipped[:_NAMED]) + (", ..." if len(skipped) > _NAMED else "")
        lines.append(
            f"{len(skipped)} of {len(found)} packages were NOT audited ({named}): the advisory service does not know "
            "them or cannot be reached. This says nothing about their safety."
        )
    if not lines:
        lines.append(f"{len(found)} packages audited, no known vulnerability.")
    if any(one.get("vulns") for one in found):
        return VULNERABLE, lines
    return (UNKNOWN if skipped or not found else CLEAN), lines


def main() -> int:
    code, lines = verdict(sys.stdin.read())
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
