"""Writes libm.txt: arguments of the functions of libm and the correctly rounded results (round to nearest, ties to even).

usage: reference.py >libm.txt    (needs mpmath)
"""

import math
import random
import struct
from fractions import Fraction

from mpmath import mp, mpf

mp.prec = 400
INF = math.inf


def bits(x):
    return struct.unpack(">Q", struct.pack(">d", x))[0]


def number(b):
    return struct.unpack(">d", struct.pack(">Q", b & (2**64 - 1)))[0]


def nearest(x):
    """The double nearest to an mpf."""
    sign, man, exp, count = x._mpf_
    if not man:
        return 0.0
    top = exp + count - 1
    if top > 1024:
        return -INF if sign else INF
    low = max(top, -1022) - 52
    shift = low - exp
    if shift > 0:
        if shift > count + 2:
            man = 0
        else:
            half, rest = 1 << (shift - 1), man & ((1 << shift) - 1)
            man >>= shift
            if rest > half or rest == half and man & 1:
                man += 1
    else:
        man <<= -shift
    if man.bit_length() + low > 1024:
        return -INF if sign else INF
    r = math.ldexp(man, low)
    return -r if sign else r


rng = random.Random(20260509)


def spread(low, high):
    """A number between two others, near one of them or anywhere, in value or in magnitude."""
    k = rng.randrange(4)
    if k == 0:
        return rng.uniform(low, high)
    if k == 1:
        return low + (high - low) * 2.0 ** -rng.uniform(1, 50)
    if k == 2:
        return high - (high - low) * 2.0 ** -rng.uniform(1, 50)
    return max(low, min(high, rng.choice((-1, 1)) * 2.0 ** rng.uniform(-60, 10)))


def anywhere():
    while True:
        x = number(rng.getrandbits(64))
        if math.isfinite(x):
            return x


TINY = [5e-324, 2.5e-310, 2.2250738585072014e-308, 1e-300, 1e-20, 2.0**-53, 2.0**-27, 1e-5]
EDGES = TINY + [0.25, 0.5, 0.75, 1 - 2.0**-53, 1.0, 1 + 2.0**-52, 1.5, 2.0, math.pi / 2, math.pi, 10.0]
LARGE = [22.0, 100.0, 709.78, 745.13, 1e10, 2.0**52 + 0.5, 2.0**53, 1e22, 1e100, 1e300, 1.7976931348623157e308]

half_pi = mp.pi / 2
ONE = {
    # name: (exact function, range of arguments, whether all finite numbers are tried)
    "acos": (mp.acos, (-1, 1), False),
    "acosh": (mp.acosh, (1, 1e4), False),
    "asin": (mp.asin, (-1, 1), False),
    "asinh": (mp.asinh, (-1e4, 1e4), True),
    "atan": (mp.atan, (-50, 50), True),
    "atanh": (mp.atanh, (-1, 1), False),
    "cbrt": (lambda x: mp.cbrt(x) if x >= 0 else -mp.cbrt(-x), (-1e6, 1e6), True),
    "ceil": (mp.ceil, (-1e6, 1e6), True),
    "cos": (mp.cos, (-100, 100), True),
    "cosh": (mp.cosh, (-710, 710), False),
    "erf": (mp.erf, (-6, 6), False),
    "erfc": (mp.erfc, (-6, 27.2), False),
    "exp": (mp.exp, (-745, 709.7), False),
    "exp2": (lambda x: mp.power(2, x), (-1074, 1023.9), False),
    "expm1": (mp.expm1, (-50, 709), False),
    "fabs": (abs, (-10, 10), True),
    "floor": (mp.floor, (-1e6, 1e6), True),
    "lgamma": (lambda x: mp.log(abs(mp.gamma(x))) if abs(x) < 200 else mp.loggamma(x), (0.01, 1e5), False),
    "log": (mp.log, (5e-324, 1e6), False),
    "log10": (mp.log10, (5e-324, 1e6), False),
    "log1p": (mp.log1p, (-0.9999999, 1e6), False),
    "log2": (lambda x: mp.log(x, 2), (5e-324, 1e6), False),
    "rint": (None, (-1e6, 1e6), True),
    "round": (None, (-1e6, 1e6), True),
    "sin": (mp.sin, (-100, 100), True),
    "sinh": (mp.sinh, (-710, 710), False),
    "sqrt": (mp.sqrt, (0, 1e6), False),
    "tan": (mp.tan, (-100, 100), True),
    "tanh": (mp.tanh, (-25, 25), False),
    "tgamma": (mp.gamma, (-20.3, 171.6), False),
    "trunc": (None, (-1e6, 1e6), True),
}


def whole(name, x):
    if abs(x) >= 2.0**52:
        return x
    n = {"rint": round, "trunc": math.trunc, "round": lambda v: math.floor(abs(Fraction(v)) + Fraction(1, 2))}[name](x)
    return math.copysign(float(n), x)


def line(name, args, result):
    print(name, *("%016x" % bits(a) if isinstance(a, float) else a for a in args), "=", "nan" if math.isnan(result) else "%016x" % bits(result))


def one(name):
    f, (low, high), everywhere = ONE[name]
    args = [spread(low, high) for _ in range(70)]
    args += [s * x for x in EDGES + LARGE for s in (1, -1) if everywhere or low <= s * x <= high]
    if everywhere:
        args += [anywhere() for _ in range(20)]
    for x in args:
        x = float(x)
        if f is None:
            line(name, (x,), whole(name, x))
            continue
        if name in ("tgamma", "lgamma") and (x <= 0 and x == int(x) or abs(x) < 1e-300):
            continue
        if name == "log1p" and x <= -1 or name == "atanh" and abs(x) >= 1 or name.startswith("log") and name != "log1p" and x <= 0:
            continue
        r = nearest(f(mpf(x)))
        # The sign of a zero is that of the argument, for odd functions and roundings.
        if r == 0 and name in ("ceil", "floor", "sin", "tan", "atan", "asin", "sinh", "tanh", "asinh", "atanh", "erf", "expm1", "log1p", "cbrt"):
            r = math.copysign(0.0, x)
        line(name, (x,), r)


def two(name, pairs, f):
    for a, b in pairs:
        line(name, (float(a), float(b)), f(float(a), float(b)))


def power(a, b):
    r = mp.power(mpf(abs(a)), mpf(b))
    if a < 0 and b % 2 == 1:
        r = -r
    return nearest(r)


def pairs(low, high, count=90):
    return [(spread(low, high), spread(low, high)) for _ in range(count)]


for name in ONE:
    one(name)

two("atan2", pairs(-10, 10) + [(anywhere(), anywhere()) for _ in range(30)],
    lambda a, b: nearest(mp.atan2(mpf(a), mpf(b))))
two("hypot", [(a, b) for a, b in pairs(-100, 100) + [(anywhere(), anywhere()) for _ in range(30)]],
    lambda a, b: nearest(mp.sqrt(mpf(a) ** 2 + mpf(b) ** 2)))
two("pow", [(abs(a), b) for a, b in pairs(0.01, 30)] + [(abs(a), b * 30) for a, b in pairs(0.01, 20)]
    + [(-abs(a), float(rng.randrange(-30, 30))) for a, _ in pairs(0.1, 20)]
    + [(1 + k * 2.0**-52, 2.0**50 / k) for k in range(1, 20)], power)


def remainder(a, b):
    # Exact, in rationals.
    x, y = Fraction(a), abs(Fraction(b))
    n = x / y
    q = math.floor(n)
    rest = n - q
    if rest > Fraction(1, 2) or rest == Fraction(1, 2) and q & 1:
        q += 1
    r = x - q * y
    return math.copysign(float(r), a) if r == 0 else float(r)


def modulo(a, b):
    x, y = abs(Fraction(a)), abs(Fraction(b))
    return math.copysign(float(x - math.floor(x / y) * y), a)


several = [(a, b) for a, b in pairs(-100, 100) + [(anywhere(), anywhere()) for _ in range(30)] if b]
two("fmod", several, modulo)
two("remainder", several, remainder)
two("copysign", pairs(-3, 3, 20) + [(0.0, -1.0), (-0.0, 1.0), (INF, -0.0)], math.copysign)


def neighbour(a, b):
    if a == b:
        return b
    if a == 0:
        return math.copysign(5e-324, b)
    return number(bits(a) + (1 if (b > a) == (a > 0) else -1))


two("nextafter", pairs(-3, 3, 20) + [(0.0, 1.0), (0.0, -1.0), (5e-324, -1.0), (1.7976931348623157e308, INF)], neighbour)
for a, b in pairs(-3, 3, 60) + [(anywhere(), anywhere()) for _ in range(30)]:
    c = spread(-3, 3) if rng.randrange(3) else number(bits(-a * b)) if math.isfinite(a * b) else 1.0
    exact = mp.fmul(mpf(a), mpf(b), exact=True)
    line("fma", (a, b, c), nearest(mp.fadd(exact, mpf(c), exact=True)))
for a in EDGES + LARGE + [spread(-3, 3) for _ in range(20)]:
    m, e = math.frexp(a)
    line("frexp", (a,), m)
    for n in (-1074, -1022, -60, 3, 200, 1023):
        line("ldexp", (a, str(n)), nearest(mp.ldexp(mpf(a), n)))
    line("modf", (a,), math.copysign(a - whole("trunc", a), a))

# Values at infinities, zeros and NaNs, and outside the domain (C11, annex F.10).
NAN = math.nan
HALF = nearest(half_pi)
SPECIAL = """
acos nan=nan inf=nan 2=nan | acosh nan=nan inf=inf -inf=nan 0.5=nan 1=0 | asin 0=0 -0=-0 inf=nan -2=nan | asinh 0=0 -0=-0 inf=inf -inf=-inf nan=nan
atan 0=0 -0=-0 inf=HALF -inf=-HALF nan=nan | atanh 0=0 -0=-0 1=inf -1=-inf 2=nan nan=nan | cbrt 0=0 -0=-0 inf=inf -inf=-inf nan=nan
ceil 0=0 -0=-0 inf=inf -inf=-inf nan=nan -0.5=-0 | cos 0=1 -0=1 inf=nan -inf=nan nan=nan | cosh 0=1 inf=inf -inf=inf nan=nan
erf 0=0 -0=-0 inf=1 -inf=-1 nan=nan | erfc inf=0 -inf=2 nan=nan | exp 0=1 -0=1 inf=inf -inf=0 nan=nan 710=inf -746=0
exp2 0=1 inf=inf -inf=0 nan=nan 1024=inf | expm1 0=0 -0=-0 inf=inf -inf=-1 nan=nan | fabs -0=0 -inf=inf nan=nan
floor 0=0 -0=-0 inf=inf -inf=-inf nan=nan 0.5=0 | lgamma 1=0 2=0 inf=inf -inf=inf 0=inf -3=inf nan=nan | log 0=-inf -0=-inf 1=0 -1=nan inf=inf nan=nan
log10 0=-inf 1=0 -1=nan inf=inf nan=nan | log1p 0=0 -0=-0 -1=-inf -2=nan inf=inf nan=nan | log2 0=-inf 1=0 -1=nan inf=inf nan=nan
rint 0=0 -0=-0 0.5=0 -0.5=-0 1.5=2 2.5=2 inf=inf nan=nan | round 0.5=1 -0.5=-1 2.5=3 -0=-0 inf=inf nan=nan | sin 0=0 -0=-0 inf=nan nan=nan
sinh 0=0 -0=-0 inf=inf -inf=-inf nan=nan | sqrt 0=0 -0=-0 inf=inf -1=nan -inf=nan nan=nan | tan 0=0 -0=-0 inf=nan nan=nan
tanh 0=0 -0=-0 inf=1 -inf=-1 nan=nan | tgamma 0=inf -0=-inf -1=nan inf=inf -inf=nan nan=nan 5=24 | trunc -0.5=-0 inf=inf nan=nan
atan2 0,0=0 -0,0=-0 1,0=HALF -1,-0=-HALF 1,inf=0 -1,inf=-0 inf,1=HALF nan,1=nan 1,nan=nan 0,1=0
hypot inf,nan=inf nan,-inf=inf 0,-3=3 nan,1=nan inf,1=inf | fmod 0,3=0 -0,3=-0 3,inf=3 inf,3=nan 3,0=nan nan,1=nan
remainder 0,3=0 -0,3=-0 3,inf=3 inf,3=nan 3,0=nan | copysign nan,1=nan inf,-1=-inf | nextafter nan,1=nan 1,nan=nan 0,0=0 inf,0=1.7976931348623157e308
pow 0,-1=inf -0,-1=-inf -0,-2=inf 0,-inf=inf 0,3=0 -0,3=-0 -0,2=0 -1,inf=1 -1,-inf=1 1,nan=1 nan,0=1 -8,0.5=nan 0.5,-inf=inf 2,-inf=0 0.5,inf=0 2,inf=inf -inf,-3=-0 -inf,-2=0 -inf,3=-inf -inf,2=inf inf,-1=0 inf,1=inf nan,1=nan 2,nan=nan 10,400=inf 10,-400=0
fma inf,0,1=nan 1,inf,-inf=nan nan,1,1=nan 1,1,nan=nan inf,1,1=inf -0,1,0=0 -0,1,-0=-0
"""


def value(text):
    if text.endswith("HALF"):
        return -HALF if text.startswith("-") else HALF
    return float(text)


for part in SPECIAL.replace("\n", "|").split("|"):
    words = part.split()
    for word in words[1:]:
        args, _, result = word.partition("=")
        line(words[0], tuple(value(a) for a in args.split(",")), value(result))
