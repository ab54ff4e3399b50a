"""Compares the C library's functions with correctly rounded results; runs in the guest.

For each function: how many arguments, how many results that are not the nearest number, the largest distance from the
exact result in units of the last place (of the nearest number), and a digest of all results.
"""

import ctypes
import hashlib
import math
import struct
import sys

# Distances that are allowed: 0 for what IEEE 754 requires to be correctly rounded or is exact; for the others what
# the library's manual says of its generic code.
BOUNDS = {
    "ceil": 0, "copysign": 0, "fabs": 0, "floor": 0, "fma": 0, "fmod": 0, "frexp": 0, "ldexp": 0, "modf": 0,
    "nextafter": 0, "remainder": 0, "rint": 0, "round": 0, "sqrt": 0, "trunc": 0,
    "acos": 1, "asin": 1, "atan": 1, "atan2": 1, "cos": 1, "erf": 1, "exp": 1, "exp2": 1, "expm1": 1, "hypot": 1,
    "log": 1, "log1p": 1, "pow": 1, "sin": 1, "tan": 1,
    "acosh": 2, "asinh": 2, "atanh": 2, "cosh": 2, "log10": 2, "log2": 1, "sinh": 2, "tanh": 2,
    "cbrt": 4, "erfc": 3, "lgamma": 4, "tgamma": 10,
}

libm = ctypes.CDLL("libm.so.6")


def function(name):
    f = getattr(libm, name)
    f.restype = ctypes.c_double
    if name == "frexp":
        exponent = ctypes.c_int()

        def frexp(x):
            m = f(ctypes.c_double(x), ctypes.byref(exponent))
            return m if not math.isfinite(x) or m * 2.0 ** (exponent.value // 2) * 2.0 ** (exponent.value - exponent.value // 2) == x else math.nan

        return frexp
    if name == "modf":
        whole = ctypes.c_double()

        def modf(x):
            part = f(ctypes.c_double(x), ctypes.byref(whole))
            return part if whole.value + part == x and whole.value == math.trunc(whole.value) else math.nan

        return modf
    if name == "ldexp":
        return lambda x, n: f(ctypes.c_double(x), ctypes.c_int(n))
    return lambda *args: f(*map(ctypes.c_double, args))


def real(text):
    return math.nan if text == "nan" else struct.unpack(">d", bytes.fromhex(text))[0]


def place(x):
    """Doubles in order, as integers."""
    n = struct.unpack(">q", struct.pack(">d", x))[0]
    return n if n >= 0 else -(n & (2**63 - 1))


counts = {}
functions = {}
bad = 0
for text in open(sys.argv[1]):
    words, _, want = text.partition(" = ")
    name, *words = words.split()
    want = real(want.strip())
    args = [real(w) if len(w) == 16 else int(w) for w in words]
    got = functions.setdefault(name, function(name))(*args)
    entry = counts.setdefault(name, [0, 0, 0, hashlib.sha256()])
    entry[0] += 1
    entry[3].update(struct.pack(">d", math.nan if math.isnan(got) else got))
    if math.isnan(want) or math.isnan(got):
        distance = 0 if math.isnan(want) and math.isnan(got) else math.inf
    elif want == 0 and got == 0:
        distance = 0 if math.copysign(1, want) == math.copysign(1, got) else math.inf
    else:
        distance = abs(place(got) - place(want))
    entry[1] += distance != 0
    entry[2] = max(entry[2], distance)
    if distance > BOUNDS[name]:
        bad += 1
        if bad <= 20:
            print("LIBM-FAIL", name, *args, "is", got.hex(), "not", want.hex())
for name, (count, off, most, digest) in sorted(counts.items()):
    print("LIBM", name, count, off, most, digest.hexdigest()[:16])
print("LIBM-DONE", len(counts), "functions", sum(c[0] for c in counts.values()), "results", bad, "failures")
