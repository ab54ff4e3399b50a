/* Floating point programs in both precisions; see float_kernels.h. */
#include "bench.h"

#include <math.h>

#define NBODY_STEPS 150000
#define MATMUL_ROUNDS 8
#define FFT_ROUNDS 100
#define MANDELBROT_SIZE 400
#define SPECTRAL_SIZE 700

#define REAL double
#define NAME(x) x##_double
#define FMA __builtin_fma
#define SQRT __builtin_sqrt
#include "float_kernels.h"
#undef REAL
#undef NAME
#undef FMA
#undef SQRT

#define REAL float
#define NAME(x) x##_single
#define FMA __builtin_fmaf
#define SQRT __builtin_sqrtf
#include "float_kernels.h"

const struct bench float_set[] = {
    { "nbody-double", run_nbody_double },
    { "nbody-single", run_nbody_single },
    { "matmul-double", run_matmul_double },
    { "matmul-single", run_matmul_single },
    { "fft-double", run_fft_double },
    { "fft-single", run_fft_single },
    { "mandelbrot-double", run_mandelbrot_double },
    { "mandelbrot-single", run_mandelbrot_single },
    { "spectral-double", run_spectral_double },
    { "spectral-single", run_spectral_single },
    { NULL, NULL },
};
