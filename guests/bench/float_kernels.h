/* The floating point programs in precision REAL. NAME(x) makes a name of it, FMA and SQRT are its operations.
 *
 * The compiler may contract nothing (-ffp-contract=off): fused operations stand where they are meant, so every correct
 * machine computes the same bits. Included by float.c once a precision. */

static uint64_t NAME(bits)(uint64_t sum, REAL value)
{
    double wide = value;
    uint64_t word;
    memcpy(&word, &wide, 8);
    return mix(sum, word);
}

static uint64_t NAME(run_nbody)(void)
{
    struct body {
        REAL x[3], v[3], mass;
    } b[5] = {
        { { 0, 0, 0 }, { 0, 0, 0 }, (REAL)39.478417604357432 },
        { { (REAL)4.84143144, (REAL)-1.16032004, (REAL)-0.10362204 },
          { (REAL)0.60632639, (REAL)2.81198684, (REAL)-0.02521836 }, (REAL)0.03769367 },
        { { (REAL)8.34336671, (REAL)4.12479856, (REAL)-0.40352341 },
          { (REAL)-1.01077434, (REAL)1.82566237, (REAL)0.00841576 }, (REAL)0.01128632 },
        { { (REAL)12.89436956, (REAL)-15.11115140, (REAL)-0.22330757 },
          { (REAL)1.08279100, (REAL)0.86871301, (REAL)-0.01083263 }, (REAL)0.00172372 },
        { { (REAL)15.37969711, (REAL)-25.91931460, (REAL)0.17925877 },
          { (REAL)0.97909073, (REAL)0.59469899, (REAL)-0.03475595 }, (REAL)0.00203368 },
    };
    const REAL step = (REAL)0.001;
    for (int n = 0; n < NBODY_STEPS; n++) {
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++) {
                REAL dx = b[i].x[0] - b[j].x[0], dy = b[i].x[1] - b[j].x[1], dz = b[i].x[2] - b[j].x[2];
                REAL square = FMA(dx, dx, FMA(dy, dy, dz * dz));
                REAL magnitude = step / (square * SQRT(square));
                REAL mi = b[i].mass * magnitude, mj = b[j].mass * magnitude;
                b[i].v[0] = FMA(-dx, mj, b[i].v[0]);
                b[i].v[1] = FMA(-dy, mj, b[i].v[1]);
                b[i].v[2] = FMA(-dz, mj, b[i].v[2]);
                b[j].v[0] = FMA(dx, mi, b[j].v[0]);
                b[j].v[1] = FMA(dy, mi, b[j].v[1]);
                b[j].v[2] = FMA(dz, mi, b[j].v[2]);
            }
        for (int i = 0; i < 5; i++)
            for (int k = 0; k < 3; k++)
                b[i].x[k] = FMA(step, b[i].v[k], b[i].x[k]);
    }
    uint64_t sum = 0;
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 3; k++)
            sum = NAME(bits)(sum, b[i].x[k]);
    return sum;
}

static uint64_t NAME(run_matmul)(void)
{
    enum { N = 160 };
    REAL *a = need(N * N * sizeof *a), *b = need(N * N * sizeof *b), *c = need(N * N * sizeof *c);
    uint64_t sum = 0;
    for (int i = 0; i < N * N; i++) {
        a[i] = (REAL)(i % 37) / 8;
        b[i] = (REAL)(i % 41) / 3 - 5;
    }
    for (int round = 0; round < MATMUL_ROUNDS; round++) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                REAL dot = 0;
                for (int k = 0; k < N; k++)
                    dot = FMA(a[i * N + k], b[k * N + j], dot);
                c[i * N + j] = dot;
            }
        REAL *swap = a;
        a = c;
        c = swap;
        /* Keeps the numbers in range. */
        for (int i = 0; i < N * N; i++)
            a[i] = a[i] / 1000 + 1;
    }
    for (int i = 0; i < N * N; i += 11)
        sum = NAME(bits)(sum, a[i]);
    free(a);
    free(b);
    free(c);
    return sum;
}

static uint64_t NAME(run_fft)(void)
{
    enum { BITS = 12, N = 1 << BITS };
    REAL *re = need(N * sizeof *re), *im = need(N * sizeof *im);
    REAL *wr = need(N / 2 * sizeof *wr), *wi = need(N / 2 * sizeof *wi);
    /* Rotation by 2 pi / N from exact halvings of the angle. */
    double cosine = 0, sine = 1;
    for (int i = 2; i < BITS; i++) {
        double half = sqrt((1 + cosine) / 2);
        sine = sine / (2 * half);
        cosine = half;
    }
    double cr = 1, ci = 0;
    for (int i = 0; i < N / 2; i++) {
        wr[i] = (REAL)cr;
        wi[i] = (REAL)ci;
        double t = cr * cosine - ci * sine;
        ci = cr * sine + ci * cosine;
        cr = t;
    }
    for (int i = 0; i < N; i++)
        re[i] = (REAL)((i * 37) % 101) / 50 - 1;
    for (int round = 0; round < FFT_ROUNDS; round++) {
        for (int i = 0, j = 0; i < N; i++) {
            if (i < j) {
                REAL t = re[i];
                re[i] = re[j];
                re[j] = t;
                t = im[i];
                im[i] = im[j];
                im[j] = t;
            }
            int bit = N >> 1;
            for (; j & bit; bit >>= 1)
                j ^= bit;
            j |= bit;
        }
        for (int size = 2; size <= N; size <<= 1)
            for (int base = 0; base < N; base += size)
                for (int k = 0; k < size / 2; k++) {
                    int p = base + k, q = p + size / 2, w = k * (N / size);
                    REAL tr = FMA(re[q], wr[w], -(im[q] * wi[w]));
                    REAL ti = FMA(re[q], wi[w], im[q] * wr[w]);
                    re[q] = re[p] - tr;
                    im[q] = im[p] - ti;
                    re[p] += tr;
                    im[p] += ti;
                }
        for (int i = 0; i < N; i++) {
            re[i] = re[i] / 64;
            im[i] = im[i] / -64;
        }
    }
    uint64_t sum = 0;
    for (int i = 0; i < N; i += 7)
        sum = NAME(bits)(NAME(bits)(sum, re[i]), im[i]);
    free(re);
    free(im);
    free(wr);
    free(wi);
    return sum;
}

static uint64_t NAME(run_mandelbrot)(void)
{
    enum { SIZE = MANDELBROT_SIZE };
    uint64_t sum = 0;
    for (int py = 0; py < SIZE; py++)
        for (int px = 0; px < SIZE; px++) {
            REAL cx = (REAL)px * 3 / SIZE - 2, cy = (REAL)py * 2 / SIZE - 1;
            REAL x = 0, y = 0, xx = 0, yy = 0;
            int n = 0;
            for (; n < 100 && xx + yy <= 4; n++) {
                y = FMA(x + x, y, cy);
                x = xx - yy + cx;
                xx = x * x;
                yy = y * y;
            }
            sum += (uint64_t)(n * (px ^ py));
        }
    return sum;
}

static REAL NAME(element)(int i, int j)
{
    return 1 / (REAL)((i + j) * (i + j + 1) / 2 + i + 1);
}

static void NAME(multiply)(const REAL *v, REAL *out, int n, int transposed)
{
    for (int i = 0; i < n; i++) {
        REAL sum = 0;
        for (int j = 0; j < n; j++)
            sum = FMA(transposed ? NAME(element)(j, i) : NAME(element)(i, j), v[j], sum);
        out[i] = sum;
    }
}

static uint64_t NAME(run_spectral)(void)
{
    enum { N = SPECTRAL_SIZE };
    REAL u[N], v[N], t[N];
    for (int i = 0; i < N; i++)
        u[i] = 1;
    for (int round = 0; round < 6; round++) {
        NAME(multiply)(u, t, N, 0);
        NAME(multiply)(t, v, N, 1);
        NAME(multiply)(v, t, N, 0);
        NAME(multiply)(t, u, N, 1);
    }
    REAL uv = 0, vv = 0;
    for (int i = 0; i < N; i++) {
        uv = FMA(u[i], v[i], uv);
        vv = FMA(v[i], v[i], vv);
    }
    return NAME(bits)(0, SQRT(uv / vv));
}
