"""The whole document against the running service: no 500, and no answer that it does not promise."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.api.conftest import ADMIN_KEY

HERE = Path(__file__).parent
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
# Seconds of each run: `make prove` gives each of them ten minutes. One budget for all would be spent by the first on a
# busy machine, before calls that follow from the answers of others had their turn; there the first case
# of "fuzzing" takes eight.
RUNS = {"examples,coverage": "12", "fuzzing": "15", "stateful": "15"}
SECONDS = os.environ.get("SCHEMATHESIS_SECONDS")


@pytest.mark.parametrize("phases", RUNS)
async def test_schemathesis_finds_no_500_and_no_undocumented_answer(
    site: str, tmp_path: Path, phases: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{site}/openapi.json"),
        *("--header", f"Authorization: Bearer {ADMIN_KEY}", "--checks", ",".join(CHECKS)),
        *("--generation-deterministic", "--max-examples", "12", "--max-time", SECONDS or RUNS[phases]),
        # Of a backtest on a machine that does much else.
        *("--request-timeout", "60"),
        *("--phases", phases),
        *("--continue-on-failure", "--no-color", "--warnings", "off"),
        cwd=tmp_path,  # it leaves files where it runs
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks", "PYTHONPATH": str(HERE.parents[1])},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6000:]
    # That it did anything: calls were generated and answered.
    cases = re.search(r"(\d+) generated", output.decode())
    assert cases is not None, output.decode()[-3000:]
    assert int(cases[1]) > 0
