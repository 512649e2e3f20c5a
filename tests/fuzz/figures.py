"""A campaign as a page: ``python -m tests.fuzz.figures 10000 > docs/reliability.md`` (``make fuzz``).

It ends with exit code 1 if a mutant crashes the chain, takes too long or is lost, or if too many pictures that are
changed get a verdict without a remark.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from math import sqrt

from pydicom.uid import ExplicitVRLittleEndian
from tqdm import tqdm

from tests.fuzz.campaign import IGNORED, LARGE_CHANGE, REFUSED, REMARK, VERDICT, Outcome, Tally, run
from tests.fuzz.mutations import COLUMNS, FINDINGS, HEADER, KINDS, ROWS, SYNTAXES, mutants

SEED = 20261125
LARGEST_SHARE = 0.05  # of the changed pictures of compressed syntaxes
MOST_SECONDS, MOST_MIB = 10.0, 1024.0
HEAD = """# Reliability

What becomes of damaged files: written by `make fuzz`. {count} mutants (seed {seed}) of {seeds} sound files, which are
phantoms of {columns} x {rows} pixels in nine transfer syntaxes, go through the chain of a user: header, scope, pixels,
the classifier `msk_cnn`. Each is accounted for. CI runs 3,000 of them, `make fuzz` 10,000.

Crashes of the chain: {crashes}. Mutants without an outcome: {lost}. Slowest: {slowest:.1f} s. Largest memory of the
decoder's process: {peak:.0f} MiB.
"""
NOTE = """
*Changed*: more than a tenth of the pixels differ from the sound picture. Of a refused mutant, that is what a lenient
reader makes of it (pydicom with any decoder, no checks); what it cannot decode counts as changed. *Without a remark*:
such a picture got a verdict and nothing was said; in brackets the share of the changed ones, with its 95 % interval
(Wilson). The aim for compressed pictures is at most 5 %. In uncompressed pictures nothing shows that a value is wrong:
they need a transfer that checks sums, or a compressed syntax.
"""


def interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson)."""
    if not total:
        return 0.0, 1.0
    z, share = 1.959964, count / total
    middle, half = share + z * z / (2 * total), z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, (middle - half) / (1 + z * z / total)), min(1.0, (middle + half) / (1 + z * z / total))


def page(tally: Tally, count: int, seed: int) -> str:
    """The page of a campaign."""
    return "\n".join((*_lines(tally, count, seed), ""))


def problems(tally: Tally, count: int) -> list[str]:
    """What must not be, in words."""
    compressed = [one for one in _large(tally.outcomes) if one.mutant.seed.syntax != ExplicitVRLittleEndian]
    silent = [one for one in compressed if one.kind == VERDICT]
    found = {
        f"{sum(tally.crashes.values())} crashes": bool(tally.crashes),
        "mutants without an outcome": len(tally.outcomes) + sum(tally.crashes.values()) != count,
        "a mutant took too long": max(one.seconds for one in tally.outcomes) > MOST_SECONDS,
        "the decoder took too much memory": tally.peak_mib > MOST_MIB,
        f"{len(silent)} of {len(compressed)} changed pictures without a remark": len(silent)
        > LARGEST_SHARE * len(compressed),
    }
    return [problem for problem, is_so in found.items() if is_so]


def _large(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [one for one in outcomes if one.changed is not None and one.changed > LARGE_CHANGE]


def _lines(tally: Tally, count: int, seed: int) -> Iterator[str]:
    crashes = sum(tally.crashes.values())
    yield HEAD.format(
        count=f"{count:,}",
        seed=seed,
        seeds=len(SYNTAXES) * len(FINDINGS),
        columns=COLUMNS,
        rows=ROWS,
        crashes=crashes,
        lost=count - len(tally.outcomes) - crashes,
        slowest=max(one.seconds for one in tally.outcomes),
        peak=tally.peak_mib,
    )
    yield "## Damaged pixel data\n"
    yield "| transfer syntax | mutants | refused | remark | changed | without a remark |"
    yield "|---|---|---|---|---|---|"
    pixels = [one for one in tally.outcomes if one.mutant.kind != HEADER]
    for syntax in SYNTAXES:
        yield _row(syntax.name, [one for one in pixels if one.mutant.seed.syntax == syntax])
    yield _row("**compressed, all**", [one for one in pixels if one.mutant.seed.syntax != ExplicitVRLittleEndian])
    yield NOTE
    yield "## By kind of damage, compressed syntaxes\n"
    yield "| damage | mutants | refused | remark | changed | without a remark |"
    yield "|---|---|---|---|---|---|"
    for kind in KINDS:
        chosen = [one for one in pixels if one.mutant.kind == kind and one.mutant.seed.syntax != ExplicitVRLittleEndian]
        if chosen:
            yield _row(kind, chosen)
    yield "\n## Damaged headers\n"
    yield "Verdicts are right here: most bytes of a header say nothing about the picture.\n"
    headers = [one for one in tally.outcomes if one.mutant.kind == HEADER]
    yield "| outcome | mutants |"
    yield "|---|---|"
    for kind in (IGNORED, REFUSED, REMARK, VERDICT):
        yield f"| {kind} | {sum(one.kind == kind for one in headers)} |"
    yield "\n## Reasons\n"
    yield "| reason | mutants |"
    yield "|---|---|"
    reasons = Counter(one.reason for one in tally.outcomes if one.kind in (REFUSED, REMARK))
    for reason, number in reasons.most_common():
        yield f"| `{reason}` | {number} |"


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    large = _large(outcomes)
    silent = sum(one.kind == VERDICT for one in large)
    low, high = interval(silent, len(large))
    counts = [sum(one.kind in kinds for one in outcomes) for kinds in ((REFUSED, IGNORED), (REMARK,))]
    share = f" ({silent / len(large):.1%}, {low:.1%} to {high:.1%})" if large else ""
    return f"| {name} | {len(outcomes)} | {counts[0]} | {counts[1]} | {len(large)} | {silent}{share} |"


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign and write its page to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mutants", type=int)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    chosen = mutants(options.mutants, options.seed)
    logging.getLogger("operators").setLevel(logging.CRITICAL)  # it says of every mutant why it is refused
    tally = run(tqdm(chosen, total=options.mutants, mininterval=10, desc="mutants"))
    sys.stdout.write(page(tally, options.mutants, options.seed))
    found = problems(tally, options.mutants)
    for problem in found:
        sys.stderr.write(f"{problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
