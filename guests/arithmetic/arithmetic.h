/* The checks of one type: REAL of P bits, the integer BITS that holds it, exponents up to EMAX. */

#define EMIN (1 - EMAX)
#define V volatile REAL

static inline BITS NAME(raw)(REAL x)
{
	BITS b;
	memcpy(&b, &x, sizeof b);
	return b;
}

static inline REAL NAME(real)(BITS b)
{
	REAL x;
	memcpy(&x, &b, sizeof x);
	return x;
}

static const BITS NAME(FRACTION) = ((BITS)1 << (P - 1)) - 1;

static struct exact NAME(parts)(REAL x)
{
	BITS b = NAME(raw)(x);
	int e = (b >> (P - 1)) & (2 * EMAX + 1);
	struct exact r = { b >> (8 * sizeof(BITS) - 1), b & NAME(FRACTION), 0, 0 };

	if (e)
		r.man |= (BITS)1 << (P - 1);
	else
		e = 1;
	r.exp = e - EMAX - (P - 1);
	return r;
}

/* Any number, more often one with a neighbour's exponent, few bits, or at an edge. */
static REAL NAME(random)(void)
{
	uint64_t r = bits64(), s = bits64();
	BITS e, f = (BITS)s & NAME(FRACTION), sign = (BITS)(r & 1) << (8 * sizeof(BITS) - 1);

	switch (r >> 1 & 7) {
	case 0:
		e = 0;
		break;
	case 1:
		e = 2 * EMAX + 1;
		if (r >> 8 & 1)
			f = 0;
		break;
	case 2:
		e = (r >> 8) % (P + 4);
		break;
	case 3:
		e = 2 * EMAX - (r >> 8) % 3;
		break;
	case 4:
	case 5:
		e = EMAX - 4 + (r >> 8) % 9;
		break;
	default:
		e = (r >> 8) % (2 * EMAX + 1);
	}
	switch (r >> 4 & 7) {
	case 0:
		f &= ~(BITS)0 << (s >> 58) % P;
		break;
	case 1:
		f = NAME(FRACTION) - (s >> 60);
		break;
	case 2:
		f = s >> 60;
		break;
	}
	return NAME(real)(sign | e << (P - 1) | f);
}

/* Compares a result with the exact one. */
static void NAME(same)(const char *what, REAL got, int raised, struct exact want, REAL a, REAL b)
{
	int flags;
	uint64_t bits = rounded(want, P, EMIN, EMAX, &flags);

	check(NAME(raw)(got) == (BITS)bits, what, a, b);
	check(raised == flags, "flags of the same", a, b);
}

/* The exact sum, in units of the smaller exponent if that is near, else with the smaller number as a sticky bit. */
static struct exact NAME(sum)(struct exact a, struct exact b)
{
	struct exact r;
	int room;

	if (!a.man || (b.man && a.exp + length(a.man) < b.exp + length(b.man))) {
		struct exact t = a;
		a = b;
		b = t;
	}
	if (!b.man) {
		/* A zero: the sign of a sum of zeros is that of both, or depends on the mode. */
		r = a;
		if (!a.man && a.sign != b.sign)
			r.sign = fegetround() == FE_DOWNWARD;
		return r;
	}
	/* The larger one as far left as it goes with a bit for the carry. */
	room = 126 - length(a.man);
	if (room > a.exp - b.exp)
		room = a.exp > b.exp ? a.exp - b.exp : 0;
	a.man <<= room;
	a.exp -= room;
	int sticky = 0;
	u128 other = b.exp >= a.exp ? b.man << (b.exp - a.exp) : shifted(b.man, a.exp - b.exp, &sticky);
	r = a;
	r.sticky = sticky;
	if (a.sign == b.sign) {
		r.man += other;
	} else {
		/* What was lost makes the difference smaller by less than one. */
		if (a.man < other || (a.man == other && sticky)) {
			u128 t = a.man;
			a.man = other;
			other = t;
			r.sign = b.sign;
		}
		r.man = a.man - other - sticky;
		if (!r.man && !sticky)
			r.sign = fegetround() == FE_DOWNWARD;
	}
	return r;
}

static void NAME(operations)(int rounds)
{
	for (int n = 0; n < rounds; n++) {
		V a = NAME(random)(), b = NAME(random)(), c = NAME(random)(), r;
		int raised;

		fesetround(MODES[n & 3]);
		if ((n >> 2 & 3) == 0) /* Cancellation. */
			b = NAME(real)((NAME(raw)(a) ^ (BITS)1 << (8 * sizeof(BITS) - 1)) + (n >> 4 & 3));
		if (!isfinite(a) || !isfinite(b) || !isfinite(c))
			continue;
		struct exact x = NAME(parts)(a), y = NAME(parts)(b), z = NAME(parts)(c), e;
#define RUN(expression) (feclearexcept(FE_ALL_EXCEPT), r = (expression), raised = fetestexcept(FLAGS))
		RUN(a + b);
		NAME(same)("sum", r, raised, NAME(sum)(x, y), a, b);
		RUN(a - b);
		y.sign ^= 1;
		NAME(same)("difference", r, raised, NAME(sum)(x, y), a, b);
		y.sign ^= 1;
		RUN(a * b);
		e = (struct exact){ x.sign ^ y.sign, x.man * y.man, x.exp + y.exp, 0 };
		NAME(same)("product", r, raised, e, a, b);
		/* A product of two and a number of this type fits the sum above without loss that matters. */
		RUN(FN(fma)(a, b, c));
		if (P == 24 || length(e.man) + 2 < 107)
			NAME(same)("fused sum", r, raised, NAME(sum)(e, z), a, b);
		RUN(a / b);
		if (y.man) {
			int left = 126 - length(x.man);
			u128 dividend = x.man << left;
			e = (struct exact){ x.sign ^ y.sign, dividend / y.man, x.exp - left - y.exp,
					    dividend % y.man != 0 };
			NAME(same)("quotient", r, raised, e, a, b);
		} else if (x.man) {
			check(isinf(r) && !!signbit(r) == (x.sign ^ y.sign) && raised == FE_DIVBYZERO, "x / 0", a, b);
		} else {
			check(isnan(r) && raised == FE_INVALID, "0 / 0", a, b);
		}
		RUN(FN(sqrt)(a));
		if (!x.man) {
			check(NAME(raw)(r) == NAME(raw)(a), "root of zero", a, r);
		} else if (x.sign) {
			check(isnan(r) && raised == FE_INVALID, "root of a negative number", a, r);
		} else {
			int left = 126 - length(x.man);
			if ((x.exp - left) & 1)
				left--;
			e = (struct exact){ 0, 0, (x.exp - left) / 2, 0 };
			e.man = square_root(x.man << left, &e.sticky);
			NAME(same)("square root", r, raised, e, a, r);
		}
		/* Whole numbers. */
		RUN(FN(rint)(a));
		check(r == FN(trunc)(r) && (raised & ~FE_INEXACT) == 0 && (raised != 0) == (r != a), "rint", a, r);
		check(FN(fabs)(r - a) <= 1 && !!signbit(r) == x.sign, "rint is near", a, r);
	}
	fesetround(FE_TONEAREST);
}

/* Radix, precision, and the digits that guard each operation. */
static void NAME(digits)(void)
{
	V one = 1, two = 2, half = one / two, w = 1, t, u1, u2;
	int count = 0;

	do {
		w += w;
		t = w + one;
		t -= w;
		count++;
	} while (t == one);
	V radix = 1, y = 1;
	while (t = w + y, t -= w, t == 0)
		y += y;
	radix = t;
	check(radix == 2, "the radix is two", radix, 0);
	check(count == P, "precision", count, P);
	u1 = one;
	for (int k = 0; k < P; k++)
		u1 *= half;
	u2 = u1 * two;
	V below = one - u1, above = one + u2;
	check(below < one && below + u1 == one && one - below == u1, "guard bit of subtraction", below, u1);
	check(above > one && above - one == u2, "the neighbour above one", above, u2);
	/* Half of the last place goes to the even neighbour, more than half up. */
	check(one + u1 == one && above + u1 == one + 2 * u2, "ties go to even", u1, u2);
	check(one + u1 * above == above && one - u1 * half * above == below, "sticky bit of sums", u1, u2);
	check((one - u1 * half) == one, "half of a place below one", u1, 0);
	check(above * below == one && above * above == one + 2 * u2, "rounding of products", above, below);
	check(below * below == one - 2 * u1, "rounding of products below one", below, 0);
	check(one / below == above && one / above == one - 2 * u1, "rounding of quotients", above, below);
	check(below / above == one - 3 * u1, "a quotient of neighbours", below, above);
	V one_half = one + half;
	check((one_half + u2) * one_half - one_half * one_half == 2 * u2, "guard bit of products", u2, 0);
	for (int k = 1; k < 200; k++) {
		V x = k, q = 1 / x;
		check(x / x == one && x * one == x && x / one == x, "one is neutral", x, 0);
		check(FN(sqrt)(x * x) == x && FN(sqrt)(x * x * u1 * u1) == x * u1, "roots of squares", x, 0);
		check(q * x == one || q * x == below, "reciprocals", x, q);
		check(x * 7 == 7 * x && x + 7 == 7 + x && x * -1 == -x, "commutes", x, 7);
		check((x + 9) * (x - 9) == x * x - 81, "small whole numbers are exact", x, 0);
	}
	V power = 1;
	for (int k = 0; k < 15; k++, power *= 3)
		check(FN(pow)(3, k) == power, "powers of three", k, power);
	power = 1;
	for (int k = 0; k < 100; k++, power *= two)
		check(FN(pow)(2, k) == power && FN(ldexp)(1, k) == power && 1 / power == FN(ldexp)(1, -k), "powers of two", k, power);
	/* Roots neither fall nor leave their square's neighbours. */
	V last = 0, x = one;
	for (int k = 0; k < 400; k++, x += u2) {
		V r = FN(sqrt)(x);
		check(r >= last, "roots are monotonic", x, r);
		last = r;
	}
}

/* Directed modes at places where the answer is known. */
static void NAME(modes)(void)
{
	V one = 1, three = 3, tiny = NAME(real)(1), max = NAME(real)(((BITS)(2 * EMAX + 1) << (P - 1)) - 1);
	V up, down, near, zero;

	fesetround(FE_UPWARD);
	up = one / three;
	check(-(-one / three) < up, "a negative quotient rounds up", up, 0);
	check(one + tiny > one && max + tiny == INFINITY && -max - tiny == -max, "upward", max, tiny);
	check(!signbit(one - one) && tiny * FN(fabs)((REAL)0.5) == tiny, "upward near zero", tiny, 0);
	fesetround(FE_DOWNWARD);
	down = one / three;
	check(one + tiny == one && -one - tiny < -one && max + tiny == max && -max - tiny == -INFINITY, "downward", max, tiny);
	check(signbit(one - one) && signbit(-tiny * tiny) && tiny * tiny == 0, "downward near zero", tiny, 0);
	fesetround(FE_TOWARDZERO);
	zero = one / three;
	check(max * 2 == max && -max * 2 == -max && -one - tiny == -one && one - tiny < one, "toward zero", max, tiny);
	fesetround(FE_TONEAREST);
	near = one / three;
	check(down < up && zero == down && (near == up || near == down), "a third in four modes", down, up);
	check(NAME(raw)(up) - NAME(raw)(down) == 1, "they are neighbours", down, up);
	check(FN(lrint)((REAL)2.5) == 2 && FN(lrint)((REAL)3.5) == 4 && FN(lrint)((REAL)-0.5) == 0, "lrint to even", 2.5, 3.5);
	fesetround(FE_UPWARD);
	check(FN(lrint)((REAL)2.25) == 3 && FN(lrint)((REAL)-2.75) == -2, "lrint upward", 2.25, -2.75);
	fesetround(FE_DOWNWARD);
	check(FN(lrint)((REAL)2.75) == 2 && FN(lrint)((REAL)-2.25) == -3, "lrint downward", 2.75, -2.25);
	for (int m = 0; m < 4; m++) {
		/* Whole numbers that the type cannot hold. */
		fesetround(MODES[m]);
		for (int n = 0; n < 2000; n++) {
			volatile int64_t k = (int64_t)bits64() >> (n % 64);
			volatile uint64_t uk = (uint64_t)bits64() >> (n % 64);
			int flags, raised;
			V r;

			struct exact x = { k < 0, k < 0 ? -(u128)k : (u128)k, 0, 0 };
			if (k < 0)
				x.man = (u128)(-(__int128)k);
			RUN((REAL)k);
			BITS want = rounded(x, P, EMIN, EMAX, &flags);
			check(NAME(raw)(r) == want && raised == flags, "from a signed doubleword", k, r);
			x = (struct exact){ 0, uk, 0, 0 };
			RUN((REAL)uk);
			want = rounded(x, P, EMIN, EMAX, &flags);
			check(NAME(raw)(r) == want && raised == flags, "from an unsigned doubleword", uk, r);
		}
		V x = (REAL)-1234.75;
		check((int)x == -1234 && (long)x == -1234 && (unsigned)(-x) == 1234, "casts cut off", x, 0);
	}
	fesetround(FE_TONEAREST);
}

/* The ends of the range. */
static void NAME(ends)(void)
{
	V one = 1, normal = NAME(real)((BITS)1 << (P - 1)), tiny = NAME(real)(1), x, r;
	V max = NAME(real)(((BITS)(2 * EMAX + 1) << (P - 1)) - 1), zero = 0;
	int count = 0, raised;

	for (x = normal; x > 0; x /= 2)
		count++;
	check(count == P, "underflow is gradual", count, P);
	for (int k = 1; k < 300; k++) {
		V y = NAME(real)(NAME(raw)(normal) + k);
		check(y - normal != 0 && (y - normal) + normal == y, "different numbers differ", y, normal);
		check(y - normal == k * tiny, "their difference is exact", y, normal);
	}
	RUN(tiny / 2);
	check(r == 0 && raised == (FE_UNDERFLOW | FE_INEXACT), "half of the smallest number", tiny, r);
	RUN(3 * tiny / 2);
	check(r == 2 * tiny, "one and a half of it goes to even", tiny, r);
	RUN(normal / 2);
	check(r == normal - normal / 2 && raised == 0, "an exact subnormal is no underflow", normal, r);
	RUN(max + max);
	check(isinf(r) && raised == (FE_OVERFLOW | FE_INEXACT), "overflow", max, r);
	V ulp = max - NAME(real)(NAME(raw)(max) - 1);
	RUN(max + ulp / 2);
	check(isinf(r), "half a place beyond the largest number", max, r);
	RUN(max + ulp / 2 * (1 - ulp / max));
	check(r == max, "less than half a place", max, r);
	RUN(one / zero);
	check(isinf(r) && r > 0 && raised == FE_DIVBYZERO, "1 / 0", 1, 0);
	V minus = -zero, inf = r;
	check(signbit(minus) && zero == minus && one / minus == -inf, "signed zeros", zero, minus);
	check(!signbit(zero + minus) && signbit(minus + minus) && signbit(minus * one) && signbit(zero * -one), "sums of zeros", 0, 0);
	check(inf + 1 == inf && inf * -1 == -inf && 1 / inf == 0 && inf > max && -inf < -max, "infinity", inf, max);
	V nan = inf - inf;
	RUN(inf - inf);
	check(isnan(r) && raised == FE_INVALID, "inf - inf", inf, r);
	RUN(inf * zero);
	check(isnan(r) && raised == FE_INVALID, "inf * 0", inf, r);
	RUN(nan + one);
	check(isnan(r) && raised == 0, "a quiet NaN raises nothing", r, 0);
	check(!(nan == nan) && !(nan < one) && !(nan >= one) && nan != nan, "NaN is unordered", nan, 1);
#ifdef __powerpc64__
	/* The compiler takes the other comparison here. */
	feclearexcept(FE_ALL_EXCEPT);
	__asm__ volatile("fcmpo 0,%0,%1" : : "d"(nan), "d"(one) : "cr0");
	check(fetestexcept(FLAGS) == FE_INVALID, "an ordered comparison of NaN", nan, 1);
#endif
	feclearexcept(FE_ALL_EXCEPT);
	volatile int less = nan == one;
	check(!less && fetestexcept(FLAGS) == 0, "an equality of NaN", nan, 1);
	BITS payload = NAME(raw)(nan) | 0x1234;
	r = NAME(real)(payload) + one;
	check((NAME(raw)(r) & 0xffff) == (payload & 0xffff), "a payload stays", 0, 0);
	check(FN(nextafter)(one, 2) - one == FN(ldexp)(1, 1 - P), "nextafter", one, 2);
}

static void NAME(all)(int rounds)
{
	type_name = P == 24 ? "float" : "double";
	NAME(digits)();
	NAME(modes)();
	NAME(ends)();
	NAME(operations)(rounds);
}

#undef EMIN
#undef V
#undef RUN
