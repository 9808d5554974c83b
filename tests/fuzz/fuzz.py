"""Fuzzing for as long as you like: everything that decodes what comes from outside, against what it promises.

  python tests/fuzz/fuzz.py                          all targets, a minute each
  python tests/fuzz/fuzz.py passage sql --seconds 600 --seed 7

Inputs are the kept cases, inputs made by the format's rules, and mutants of both; what reaches new lines is mutated
further. A failing input is cut down to the least and kept in tests/fuzz/corpus with a report beside it, and the suite
fails on it from then on: mend what is wrong, give the case a name that says what it is, and delete the report.
"""

import argparse
import hashlib
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzz.corpus import cases, keep
from fuzz.minimise import minimised
from fuzz.search import Failure, Search
from fuzz.target import Target
from fuzz.targets import TARGETS

_SHOWN_BYTES: Final = 2000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="of what is random; another one each time without it")
    given = parser.parse_args()
    unknown = [name for name in given.target if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    seed = Random().getrandbits(32) if given.seed is None else given.seed
    _say(f"seed {seed}")
    found = [fuzz(TARGETS[name], seconds=given.seconds, seed=seed) for name in given.target or TARGETS]
    return 1 if any(found) else 0


def fuzz(target: Target, *, seconds: float, seed: int) -> int:
    """How many kinds of failure were found."""
    search = Search(target, list(cases(target.name).values()), Random(seed))
    began_at = time.monotonic()
    found = 0
    for failure in search.run(seconds):
        found += 1
        least = minimised(target, failure)
        name = f"found-{hashlib.sha256(least.data).hexdigest()[:12]}"
        file = keep(target.name, name, least.data, _report(target, least, seed))
        _say(f"{target.name}: {least.kind}; kept as {file}")
    took_s = time.monotonic() - began_at
    _say(
        f"{target.name:17} {search.executions:>9,} executions in {took_s:.0f} s ({search.executions / took_s:,.0f}/s), "
        f"{search.lines} lines reached, {search.kept} inputs reached new ones, {found} found"
    )
    return found


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _report(target: Target, failure: Failure, seed: int) -> str:
    shown = failure.data[:_SHOWN_BYTES]
    more = "" if len(shown) == len(failure.data) else f" … ({len(failure.data)} bytes)"
    return (
        f"{failure.kind}\n\ntarget {target.name}, seed {seed}\n\ninput{more}:\n{shown!r}\n\n"
        f"as hex:\n{shown.hex(' ')}\n\n{failure.trace}\n"
        "What the code says by itself is in the traceback; what the check expected stands where its last line points.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
