"""compare_expressions.py DRIVER COUNT [SEED]: random templates against jinja2, text or failure."""
import sys
import time
import warnings

from driver import render_all
from environment import make_environment, render
from expressions import VARIABLES, Grammar

OUTPUT_BYTES = 4 << 20  # jinja/limits.h
MOST_UNSUPPORTED = 0.03  # of what jinja2 can do


def verdict(ours, theirs):
    if ours.get("error") == "unsupported":
        return "unsupported" if "text" in theirs else "both refuse"
    if "text" in theirs:
        if len(theirs["text"].encode(errors="surrogatepass")) > OUTPUT_BYTES:
            return "too long" if ours.get("error") == "failed" else "DIFFERENT"
        if " object at 0x" in theirs["text"] or " method " in theirs["text"]:
            return "both refuse" if "error" in ours else "DIFFERENT"
        return "equal texts" if ours.get("text") == theirs["text"] else "DIFFERENT"
    return "both refuse" if ours.get("error") == "failed" else "DIFFERENT"


def main():
    count = int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 20260305
    print(f"seed {seed}")
    warnings.simplefilter("ignore")
    grammar = Grammar(seed)
    environment = make_environment()
    environment.cache = None
    # Constants folded by jinja2's optimizer may be sliced where Python's values cannot.
    environment.optimized = False
    tally = {}
    reasons = {}
    done = 0
    while done < count:
        sources = [grammar.template() for _ in range(min(5000, count - done))]
        done += len(sources)
        answers = render_all(sys.argv[1], [(source, VARIABLES) for source in sources])
        for source, ours in zip(sources, answers):
            theirs = render(environment, source, VARIABLES)
            kind = verdict(ours, theirs)
            tally[kind] = tally.get(kind, 0) + 1
            if kind == "unsupported":
                reason = ours["message"].split(": ", 2)[-1]
                reasons[reason] = reasons.get(reason, 0) + 1
            if kind == "DIFFERENT" and tally[kind] <= 20:
                print(f"DIFFERENT {source!r}\n  jinja2 {theirs}\n  ours   {ours}")
    for reason, times in sorted(reasons.items(), key=lambda entry: -entry[1])[:12]:
        print(f"  unsupported {times} times: {reason}")
    print(f"{count} templates: {tally}")
    rendered = tally.get("equal texts", 0) + tally.get("unsupported", 0)
    share = tally.get("unsupported", 0) / max(1, rendered)
    print(f"unsupported: {share:.2%} of what jinja2 renders, {MOST_UNSUPPORTED:.0%} are allowed")
    return 1 if tally.get("DIFFERENT") or share > MOST_UNSUPPORTED else 0


if __name__ == "__main__":
    sys.exit(main())
