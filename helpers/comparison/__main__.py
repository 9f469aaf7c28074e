"""`python -m helpers.comparison toy-faces clothes`: measure what is missing of the named models, one after the other.

Interrupt it at any time and start it again: it goes on with the next part.
"""

import sys

from helpers.comparison import finish
from helpers.comparison.measuring import Comparison
from helpers.models import embedded_models


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
