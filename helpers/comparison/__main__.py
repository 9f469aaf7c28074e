"""`python -m helpers.comparison toy-faces clothes`: measure what is missing of the named models, one after the other.

Interrupt it at any time and start it again: it goes on with the next part.
"""

import sys
import time

from helpers.comparison.measuring import Comparison
from helpers.models import embedded_models


def finish(comparison):
    """Run every part that is not kept yet, and say how far it is."""
    records, name = comparison.records, comparison.records.name
    parts, left = records.parts, records.missing()
    total, to_go = (sum(map(comparison.passes, some)) for some in (parts, left))
    print(f"{name}: {len(parts)} parts, about {total:,} network passes; {len(left)} parts to go", flush=True)
    start, first = time.time(), to_go
    for part in left:
        comparison.run(part)
        to_go -= comparison.passes(part)
        seconds = (time.time() - start) * to_go / max(first - to_go, 1)
        what = f"{part.layer}, {part.method}, {part.injection}, change {part.wanted}, {part.steps} steps"
        print(f"{name}: {what}; {1 - to_go / total:.0%} done, about {seconds / 60:.1f} minutes left", flush=True)


def main():
    if len(sys.argv) < 2:
        sys.exit(f"name a model, or several: {', '.join(embedded_models())}.")
    try:
        for comparison in [Comparison(name) for name in sys.argv[1:]]:  # a wrong name is told before the first runs
            with comparison.records.locked():
                finish(comparison)
    except KeyboardInterrupt:
        sys.exit("stopped: start it again and it goes on with the part that was cut off.")
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
