"""How nbval compares outputs: text exactly, numbers within a tolerance, embedded pictures and versions not at all.

Processors round differently, and fifty denoising steps carry a difference in the last bit into a printed digit. A
number with a decimal point may therefore differ by 2 % or by one unit of its last printed digit, so that only a number
that is printed as zero can change its sign. Whole numbers must be equal, and what must hold exactly is asserted.

Kernels see no GPU, since committed outputs come from a CPU, and tests that run side by side share its cores.
"""

import math
import os
import re

from nbval.plugin import IPyNbCell

os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["HIP_VISIBLE_DEVICES"] = ""
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # more threads than cores make every one of them wait for the others
    cores = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ["OMP_NUM_THREADS"] = str(max(1, cores))

RELATIVE, LAST_DIGITS = 0.02, 1
NUMBER = re.compile(r"(?<![\w.])[-+\N{MINUS SIGN}]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
NOT_COMPARED = [
    (re.compile(r"data:image/[\w+]+;base64,[A-Za-z0-9+/=]+"), "PICTURE"),
    (re.compile(r"explorer-[0-9a-f]{8}"), "EXPLORER"),
    (re.compile(r"^Running with .*$", re.M), "VERSIONS"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:ms|s|seconds|minutes)\b"), "TIME"),
]


def last_digit(number):
    """The unit of the last digit that is printed: 0.01 for '3.14'."""
    mantissa, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def close(first, second):
    """Whether two printed numbers agree within the tolerance.

    >>> close("0.50", "0.51"), close("0.50", "0.52"), close("12.00", "12.20"), close("780", "781")
    (True, False, True, False)
    >>> close("-0.1", "+0.1"), close("0.3", "-0.3"), close("-0.0", "+0.1")
    (False, False, True)
    """
    a, b = (float(number.replace("\N{MINUS SIGN}", "-")) for number in (first, second))
    if "." not in first + second and "e" not in first + second:
        return a == b  # counts and labels
    return math.isclose(
        a, b, rel_tol=RELATIVE, abs_tol=LAST_DIGITS * 1.0001 * max(last_digit(first), last_digit(second))
    )


class Output(str):
    """Text that equals other text when the words are the same and the numbers are close."""

    def __eq__(self, other):
        if str.__eq__(self, other):
            return True
        ours, theirs = NUMBER.findall(self), NUMBER.findall(other)
        return (
            NUMBER.sub("#", self).split() == NUMBER.sub("#", other).split()
            and len(ours) == len(theirs)
            and all(close(a, b) for a, b in zip(ours, theirs))
        )

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__


def sanitize(self, text):
    """Replaces nbval's own: what is not compared is taken out, the rest is compared as an `Output`."""
    if not isinstance(text, str):
        return text
    for pattern, replacement in NOT_COMPARED:
        text = pattern.sub(replacement, text)
    return Output(text)


IPyNbCell.sanitize = sanitize
