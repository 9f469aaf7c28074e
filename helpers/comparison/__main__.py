"""`python -m helpers.comparison toy-faces clothes`: measure what is missing of the named models, one after the other.

Interrupt it at any time and start it again: it goes on with the next part.
"""

from helpers.comparison import command
from helpers.comparison.measuring import Comparison
from helpers.models import embedded_models

if __name__ == "__main__":
    command(Comparison, embedded_models())
