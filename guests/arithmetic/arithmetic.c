/* What a program can find out about the arithmetic of float and double: radix, precision, guard and sticky bits, the
 * four rounding modes, gradual underflow, overflow, infinities, NaNs and signed zeros, exception flags, conversions.
 * Sums, products, quotients, square roots and fused sums of random operands are compared with integer arithmetic. */

#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 u128;

static unsigned long checks, failures;
static const char *type_name;

static void check(int good, const char *what, double a, double b)
{
	checks++;
	if (good)
		return;
	failures++;
	if (failures <= 40)
		printf("ARITHMETIC-FAIL %s: %s (%a, %a) mode %d\n", type_name, what, a, b, fegetround());
}

static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t bits64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1d;
}

static const int MODES[] = { FE_TONEAREST, FE_TOWARDZERO, FE_UPWARD, FE_DOWNWARD };
#define FLAGS (FE_INEXACT | FE_UNDERFLOW | FE_OVERFLOW | FE_DIVBYZERO | FE_INVALID)

/* A finite number: (-1)^sign * man * 2^exp, and whether bits below it were lost. */
struct exact {
	int sign;
	u128 man;
	int exp;
	int sticky;
};

static int length(u128 v)
{
	uint64_t hi = v >> 64, lo = v;

	return hi ? 128 - __builtin_clzll(hi) : lo ? 64 - __builtin_clzll(lo) : 0;
}

/* Shifts right by n, keeping what falls off as a sticky flag. */
static u128 shifted(u128 v, int n, int *sticky)
{
	if (n <= 0)
		return v;
	if (n > 127) {
		*sticky |= v != 0;
		return 0;
	}
	*sticky |= (v & (((u128)1 << n) - 1)) != 0;
	return v >> n;
}

/* Rounds to `precision` bits with exponents as IEEE 754 has them; the bits of the format, and the flags raised. */
static uint64_t rounded(struct exact x, int precision, int emin, int emax, int *flags)
{
	int half, tail = x.sticky, mode = fegetround(), up, shift, e;
	uint64_t sign = (uint64_t)x.sign << (precision == 24 ? 31 : 63), kept, top = (uint64_t)1 << (precision - 1);

	*flags = 0;
	if (!x.man && !x.sticky)
		return sign;
	e = x.exp + length(x.man) - 1;
	int tiny = e < emin;
	if (tiny)
		e = emin;
	/* One bit more than the result has, and the rest in `tail`. */
	shift = e - (precision - 1) - x.exp - 1;
	u128 wide = shift >= 0 ? shifted(x.man, shift, &tail) : x.man << -shift;
	half = wide & 1;
	kept = wide >> 1;
	up = mode == FE_TONEAREST ? half && (tail || (kept & 1)) :
	     mode == FE_UPWARD ? (half || tail) && !x.sign :
	     mode == FE_DOWNWARD ? (half || tail) && x.sign : 0;
	if (half || tail)
		*flags |= FE_INEXACT | (tiny ? FE_UNDERFLOW : 0);
	kept += up;
	if (kept == top << 1) {
		kept >>= 1;
		e++;
	}
	if (e > emax) {
		*flags |= FE_OVERFLOW | FE_INEXACT;
		uint64_t infinity = ((uint64_t)(2 * emax + 1)) << (precision - 1);
		int away = mode == FE_TONEAREST || (mode == FE_UPWARD && !x.sign) || (mode == FE_DOWNWARD && x.sign);
		return sign | (away ? infinity : infinity - 1);
	}
	if (kept & top)
		return sign | (uint64_t)(e - emin + 1) << (precision - 1) | (kept & (top - 1));
	return sign | kept;
}

static u128 square_root(u128 v, int *sticky)
{
	u128 r = 0;

	for (int k = 63; k >= 0; k--) {
		u128 t = r | (u128)1 << k;
		if (t * t <= v)
			r = t;
	}
	*sticky |= r * r != v;
	return r;
}

#define REAL double
#define BITS uint64_t
#define P 53
#define EMAX 1023
#define NAME(x) x##_double
#define FN(x) x
#include "arithmetic.h"
#undef REAL
#undef BITS
#undef P
#undef EMAX
#undef NAME
#undef FN

#define REAL float
#define BITS uint32_t
#define P 24
#define EMAX 127
#define NAME(x) x##_float
#define FN(x) x##f
#include "arithmetic.h"

/* Double to float in all modes, and text to numbers and back. */
static void conversions(void)
{
	type_name = "conversions";
	for (int n = 0; n < 200000; n++) {
		volatile double d = random_double();
		int flags;

		fesetround(MODES[n & 3]);
		if (isnan(d) || isinf(d))
			continue;
		uint32_t want = rounded(parts_double(d), 24, -126, 127, &flags);
		feclearexcept(FE_ALL_EXCEPT);
		volatile float f = (float)d;
		int raised = fetestexcept(FLAGS);
		check(raw_float(f) == want, "double to float", d, f);
		check(raised == flags, "flags of double to float", d, raised);
	}
	fesetround(FE_TONEAREST);
	for (int n = 0; n < 4000; n++) {
		char text[64];
		double d = random_double();
		float f = random_float();

		if (!isnan(d)) {
			snprintf(text, sizeof text, "%.17g", d);
			check(raw_double(strtod(text, NULL)) == raw_double(d), "text and back", d, 0);
			snprintf(text, sizeof text, "%a", d);
			check(raw_double(strtod(text, NULL)) == raw_double(d), "hexadecimal text and back", d, 0);
		}
		if (!isnan(f)) {
			snprintf(text, sizeof text, "%.9g", f);
			check(raw_float(strtof(text, NULL)) == raw_float(f), "text and back", f, 0);
		}
	}
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 20000;

	all_double(rounds);
	all_float(rounds);
	conversions();
	printf("ARITHMETIC %lu checks, %lu failures\n", checks, failures);
	return failures != 0;
}
