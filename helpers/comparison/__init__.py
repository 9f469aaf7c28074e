"""The comparison of directions on the embedded models: `python -m helpers.comparison toy-faces clothes`.

It follows the page "The protocol of the comparison", which was written before its numbers, and keeps them in the folder
results of this package. On one CPU core five hours a drawn world, on a large GPU a few minutes. With the methods of
others it is `python -m helpers.comparison.rivals toy-faces`.
"""

import sys
import time


def finish(measured):
    """Run every part of a `Comparison`, or of `Rivals`, that is not kept yet, and say how far it is."""
    name, parts, left = measured.records.name, measured.parts, measured.left()
    total, to_go = (sum(map(measured.passes, some)) for some in (parts, left))
    print(f"{name}: {len(parts)} parts, as long as {total:,} network passes; {len(left)} parts to go", flush=True)
    start, first = time.time(), to_go
    for part in left:
        measured.run(part)
        to_go -= measured.passes(part)
        seconds = (time.time() - start) * to_go / max(first - to_go, 1)
        print(f"{name}: {part}; {1 - to_go / total:.0%} done, about {seconds / 60:.1f} minutes left", flush=True)


def command(measure, names):
    """What a command line does: measure(name) for every model that it names, and then `finish`, or a line of error."""
    if len(sys.argv) < 2:
        sys.exit(f"name a model, or several: {', '.join(names)}.")
    try:
        for measured in [measure(name) for name in sys.argv[1:]]:  # a wrong name is told before the first runs
            with measured.records.locked():
                finish(measured)
    except KeyboardInterrupt:
        sys.exit("stopped: start it again and it goes on with the part that was cut off.")
    except (ValueError, OSError) as error:
        sys.exit(str(error))
