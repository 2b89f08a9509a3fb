// Vectors of float and double, as wide as the processor's, and the activation functions.
//
// They use the compiler's vector extensions, which become AVX-512, AVX, SSE or NEON instructions.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define REGISTERS 32
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define REGISTERS 16
#else
#define VECTOR_BYTES 16
#define REGISTERS (sizeof(void*) == 8 ? 32 : 16)
#endif

#define ALWAYS __attribute__((always_inline))
#define INLINE inline ALWAYS

namespace {

template <typename T> struct Traits;

template <> struct Traits<float> {
    typedef float vector __attribute__((vector_size(VECTOR_BYTES)));
    typedef int32_t bits __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr float largest_exponent = 88.0f, smallest_exponent = -87.0f;
    static constexpr float rounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    static constexpr int32_t mantissa = 23, bias = 127;
    static constexpr float log2e = 1.44269504088896341f;
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
};

template <> struct Traits<double> {
    typedef double vector __attribute__((vector_size(VECTOR_BYTES)));
    typedef int64_t bits __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr double largest_exponent = 709.0, smallest_exponent = -708.0;
    static constexpr double rounder = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr int64_t mantissa = 52, bias = 1023;
    static constexpr double log2e = 1.4426950408889634074;
    static constexpr double ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6;
};

template <typename T> using Vector = typename Traits<T>::vector;
template <typename T> using Bits = typename Traits<T>::bits;
template <typename T> constexpr int LANES = VECTOR_BYTES / sizeof(T);

template <typename T> INLINE Vector<T> splat(T value) { return value - Vector<T>{}; }

template <typename T> INLINE Vector<T> load(const T* from) {
    Vector<T> result;
    std::memcpy(&result, from, sizeof(result));
    return result;
}

template <typename T> INLINE void store(T* to, Vector<T> value) {
    std::memcpy(to, &value, sizeof(value));
}

// The first `count` lanes only: a layer's last units may not fill a vector.
template <typename T> INLINE Vector<T> load_some(const T* from, int count) {
    if (count >= LANES<T>) return load(from);
    Vector<T> result{};
    std::memcpy(&result, from, count * sizeof(T));
    return result;
}

template <typename T> INLINE void store_some(T* to, Vector<T> value, int count) {
    if (count >= LANES<T>) return store(to, value);
    std::memcpy(to, &value, count * sizeof(T));
}

template <typename T> INLINE Vector<T> clamp_to(Vector<T> x, T low, T high) {
    x = x < low ? splat<T>(low) : x;
    return x > high ? splat<T>(high) : x;
}

template <typename T> INLINE Vector<T> power_of_two(Vector<T> rounded) {
    // `rounded` is an integer plus the rounder; its lowest bits contain that integer.
    const Vector<T> rounder = splat<T>(Traits<T>::rounder);
    return (Vector<T>)(((Bits<T>)rounded - (Bits<T>)rounder + Traits<T>::bias) << Traits<T>::mantissa);
}

// A polynomial by Horner's rule, from the highest coefficient to the lowest.
template <typename T, typename... Rest>
INLINE Vector<T> polynomial(Vector<T> x, T highest, Rest... rest) {
    Vector<T> p = splat(highest);
    ((p = p * x + rest), ...);
    return p;
}

// exp(r) for |r| <= ln(2) / 2, by its Taylor series, exact to the last digit of the type.
INLINE Vector<float> exp_near_zero(Vector<float> r) {
    return polynomial(r, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f);
}

INLINE Vector<double> exp_near_zero(Vector<double> r) {
    return polynomial(r, 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                      1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24,
                      1.0 / 6, 0.5, 1.0, 1.0);
}

template <typename T> INLINE Vector<T> exponential(Vector<T> x) {
    typedef Traits<T> M;
    x = clamp_to<T>(x, M::smallest_exponent, M::largest_exponent);
    const Vector<T> rounded = x * M::log2e + M::rounder;
    const Vector<T> n = rounded - M::rounder;
    const Vector<T> r = (x - n * M::ln2_high) - n * M::ln2_low;
    return exp_near_zero(r) * power_of_two<T>(rounded);
}

template <typename T> INLINE Vector<T> sigmoid(Vector<T> x) {
    return T(1) / (T(1) + exponential<T>(-x));
}

// log(1 + x) for 0 <= x <= 1, as 2 artanh(x / (2 + x)); the error is below 1e-8.
template <typename T> INLINE Vector<T> log1p_of_unit(Vector<T> x) {
    const Vector<T> y = x / (x + T(2)), z = y * y;
    return T(2) * y * polynomial(z, T(1.0 / 15), T(1.0 / 13), T(1.0 / 11), T(1.0 / 9), T(1.0 / 7),
                                 T(1.0 / 5), T(1.0 / 3), T(1));
}

// tanh(x) for |x| < 0.625 (Moshier, Cephes: tanhf.c and tanh.c).
INLINE Vector<float> tanh_near_zero(Vector<float> x) {
    const Vector<float> z = x * x;
    return x + x * z * polynomial(z, -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                                  1.33314422036e-1f, -3.33332819422e-1f);
}

INLINE Vector<double> tanh_near_zero(Vector<double> x) {
    const Vector<double> z = x * x;
    const Vector<double> p = polynomial(z, -9.64399179425052238628e-1, -9.92877231001918586564e1,
                                        -1.61468768441708447952e3);
    const Vector<double> q = polynomial(z, 1.0, 1.12811678491632931402e2,
                                        2.23548839060100448583e3, 4.84406305325125486048e3);
    return x + x * z * (p / q);
}

template <typename T> INLINE Vector<T> hyperbolic_tangent(Vector<T> x) {
    const Vector<T> small = tanh_near_zero(x);
    const Vector<T> large = T(1) - T(2) / (exponential<T>(x + x) + T(1));
    return ((x < T(0.625)) & (x > T(-0.625))) ? small : large;
}

}  // namespace
