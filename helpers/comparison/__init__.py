"""The comparison of directions on the embedded models: `python -m helpers.comparison toy-faces clothes`.

It follows the page "The protocol of the comparison", which was written before its numbers, and keeps them in the folder
results of this package. On one CPU core five hours a drawn world, on a large GPU a few minutes.
"""

import time


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
