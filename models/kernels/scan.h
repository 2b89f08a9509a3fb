// Diagonal recurrences h_t = a_t * h_{t-1} + b_t over whole sequences, forward and backward.
//
// A thread runs a row through all its steps; the state of the row stays in the cache, and inputs and
// outputs are read and written once, in order. The cells differ in how they compute a and b.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "products.h"
#include "threads.h"
#include "vectors.h"

// Arrays are contiguous. Inputs are the parts of a cell, `width` numbers each; states and outputs are 1
// or 2 parts. Pointers marked (null) may be null: for zero states or unneeded results.
struct ScanCall {
    int64_t cell, batch, time, width, threads;
    const int64_t* lengths;  // (batch) (null): every sequence is full
    const void* inputs;      // (batch, time, parts, width)
    const void* decay;       // (states, width) (null): a, of cells in which it is constant
    const void* first;       // (batch, states, width) (null)
    void* outputs;           // (batch, time, states, width)
    void* last;              // (batch, states, width), forward only
    // Backward only; outputs are then read.
    const void* output_gradient;  // (batch, time, states, width) (null)
    const void* last_gradient;    // (batch, states, width) (null)
    void* input_gradient;         // (batch, time, parts, width)
    void* decay_gradient;         // (states, width) (null)
    void* first_gradient;         // (batch, states, width)

    int64_t length(int64_t row) const {  // a wrong length must not cause access outside the arrays
        return lengths ? std::clamp<int64_t>(lengths[row], 0, time) : time;
    }
    int64_t workers() const { return std::max<int64_t>(1, std::min(threads, batch)); }
};

namespace {

enum ScanCell { REAL, COMPLEX, MINGRU, MINGRU_POSITIVE, MINLSTM, MINLSTM_POSITIVE };

// g(v) of Feng et al. 2024, which makes states positive: v + 0.5 from 0 on, sigmoid(v) below.
template <typename T> INLINE Vector<T> positive(Vector<T> v) {
    return v < T(0) ? sigmoid<T>(v) : v + T(0.5);
}

template <typename T> INLINE Vector<T> positive_slope(Vector<T> v, Vector<T> g) {
    return v < T(0) ? g * (T(1) - g) : splat<T>(1);
}

// The arithmetic of a cell for one vector of units: `step` replaces the state h by the next one;
// `back` gets the gradient g of a state, and replaces it by that of the state before.
template <typename T, int CELL> struct ScanMath;

template <typename T> struct ScanMath<T, REAL> {
    static constexpr int PARTS = 1, STATES = 1;
    static constexpr bool HAS_DECAY = true;
    typedef Vector<T> V;

    INLINE static void step(const V* x, const V* a, V* h) { h[0] = a[0] * h[0] + x[0]; }

    INLINE static void back(const V*, const V* a, const V* before, V* g, V* dx, V* da) {
        dx[0] = g[0];
        da[0] += g[0] * before[0];
        g[0] = a[0] * g[0];
    }
};

template <typename T> struct ScanMath<T, COMPLEX> {  // real part, imaginary part
    static constexpr int PARTS = 2, STATES = 2;
    static constexpr bool HAS_DECAY = true;
    typedef Vector<T> V;

    INLINE static void step(const V* x, const V* a, V* h) {
        const V real = a[0] * h[0] - a[1] * h[1] + x[0];
        h[1] = a[0] * h[1] + a[1] * h[0] + x[1];
        h[0] = real;
    }

    INLINE static void back(const V*, const V* a, const V* before, V* g, V* dx, V* da) {
        dx[0] = g[0];
        dx[1] = g[1];
        da[0] += g[0] * before[0] + g[1] * before[1];
        da[1] += g[1] * before[0] - g[0] * before[1];
        const V real = a[0] * g[0] + a[1] * g[1];
        g[1] = a[0] * g[1] - a[1] * g[0];
        g[0] = real;
    }
};

// Inputs: gate z, candidate.
template <typename T, bool IS_POSITIVE> struct MinGru {
    static constexpr int PARTS = 2, STATES = 1;
    static constexpr bool HAS_DECAY = false;
    typedef Vector<T> V;

    INLINE static void step(const V* x, const V*, V* h) {
        const V candidate = IS_POSITIVE ? positive<T>(x[1]) : x[1];
        h[0] += sigmoid<T>(x[0]) * (candidate - h[0]);
    }

    INLINE static void back(const V* x, const V*, const V* before, V* g, V* dx, V*) {
        const V z = sigmoid<T>(x[0]), candidate = IS_POSITIVE ? positive<T>(x[1]) : x[1];
        dx[0] = g[0] * (candidate - before[0]) * z * (T(1) - z);
        dx[1] = g[0] * z;
        if (IS_POSITIVE) dx[1] *= positive_slope<T>(x[1], candidate);
        g[0] -= g[0] * z;
    }
};

template <typename T> struct ScanMath<T, MINGRU> : MinGru<T, false> {};
template <typename T> struct ScanMath<T, MINGRU_POSITIVE> : MinGru<T, true> {};

// Inputs: forget gate f, input gate i, candidate. The gates are normalised: f / (f + i), i / (f + i).
template <typename T, bool IS_POSITIVE> struct MinLstm {
    static constexpr int PARTS = 3, STATES = 1;
    static constexpr bool HAS_DECAY = false;
    typedef Vector<T> V;

    // 1 / f and 1 / i are finite where both gates vanish, and so is their sum.
    struct Gates {
        V forget_tail, input_tail, forget, input;
        INLINE explicit Gates(const V* x)
            : forget_tail(exponential<T>(-x[0])), input_tail(exponential<T>(-x[1])) {
            const V p = T(1) + forget_tail, q = T(1) + input_tail, share = T(1) / (p + q);
            forget = q * share;
            input = p * share;
        }
    };

    INLINE static void step(const V* x, const V*, V* h) {
        const Gates gates(x);
        h[0] = gates.forget * h[0] + gates.input * (IS_POSITIVE ? positive<T>(x[2]) : x[2]);
    }

    INLINE static void back(const V* x, const V*, const V* before, V* g, V* dx, V*) {
        const Gates gates(x);
        const V candidate = IS_POSITIVE ? positive<T>(x[2]) : x[2];
        const V common = g[0] * (before[0] - candidate) * gates.forget * gates.input;
        dx[0] = common * (gates.forget_tail / (T(1) + gates.forget_tail));
        dx[1] = -common * (gates.input_tail / (T(1) + gates.input_tail));
        dx[2] = g[0] * gates.input;
        if (IS_POSITIVE) dx[2] *= positive_slope<T>(x[2], candidate);
        g[0] *= gates.forget;
    }
};

template <typename T> struct ScanMath<T, MINLSTM> : MinLstm<T, false> {};
template <typename T> struct ScanMath<T, MINLSTM_POSITIVE> : MinLstm<T, true> {};

// Call body(unit, count) for each vector of units; `count` is a constant in all but the last.
template <typename T, typename Body> INLINE void for_units(int64_t width, const Body& body) {
    int64_t unit = 0;
    for (; unit + LANES<T> <= width; unit += LANES<T>) body(unit, LANES<T>);
    if (unit < width) body(unit, int(width - unit));
}

template <typename T, int CELL> struct Scan {
    typedef ScanMath<T, CELL> Math;
    typedef Vector<T> V;
    static constexpr int PARTS = Math::PARTS, STATES = Math::STATES;
    static constexpr bool HAS_DECAY = Math::HAS_DECAY;
    const ScanCall& call;
    const int64_t width = call.width;

    static const T* at(const void* array, int64_t offset) {
        return static_cast<const T*>(array) + offset;
    }

    // Copy the states of a row, or zeros if there are none.
    void load_row(const void* from, int64_t row, T* to) const {
        const size_t size = STATES * width * sizeof(T);
        if (from) std::memcpy(to, at(from, row * STATES * width), size);
        else std::memset(to, 0, size);
    }

    void forward(int64_t row, T* state) const {
        load_row(call.first, row, state);
        const int64_t length = call.length(row);
        for (int64_t step = 0; step < length; ++step) {
            const int64_t place = row * call.time + step;
            const T* inputs = at(call.inputs, place * PARTS * width);
            T* outputs = static_cast<T*>(call.outputs) + place * STATES * width;
            for_units<T>(width, [&](int64_t unit, int count) ALWAYS {
                V x[PARTS], a[STATES] = {}, h[STATES];
                for (int p = 0; p < PARTS; ++p) x[p] = load_some(inputs + p * width + unit, count);
                for (int s = 0; s < STATES; ++s) {
                    if (HAS_DECAY) a[s] = load_some(at(call.decay, s * width + unit), count);
                    h[s] = load_some(state + s * width + unit, count);
                }
                Math::step(x, a, h);
                for (int s = 0; s < STATES; ++s) {
                    store_some(state + s * width + unit, h[s], count);
                    store_some(outputs + s * width + unit, h[s], count);
                }
            });
        }
        std::memcpy(static_cast<T*>(call.last) + row * STATES * width, state,
                    STATES * width * sizeof(T));
        std::memset(static_cast<T*>(call.outputs) + (row * call.time + length) * STATES * width, 0,
                    (call.time - length) * STATES * width * sizeof(T));
    }

    // `gradient` is a buffer for the gradient of the state, `first` one for the first state; the
    // gradient of the decay is added to `decay_gradient`.
    void backward(int64_t row, T* gradient, T* first, T* decay_gradient) const {
        load_row(call.last_gradient, row, gradient);
        load_row(call.first, row, first);
        const int64_t length = call.length(row);
        for (int64_t step = length - 1; step >= 0; --step) {
            const int64_t place = row * call.time + step;
            const T* inputs = at(call.inputs, place * PARTS * width);
            const T* before = step ? at(call.outputs, (place - 1) * STATES * width) : first;
            const T* given = call.output_gradient
                                 ? at(call.output_gradient, place * STATES * width)
                                 : nullptr;
            T* to = static_cast<T*>(call.input_gradient) + place * PARTS * width;
            for_units<T>(width, [&](int64_t unit, int count) ALWAYS {
                V x[PARTS], a[STATES] = {}, h[STATES], g[STATES], dx[PARTS], da[STATES] = {};
                for (int p = 0; p < PARTS; ++p) x[p] = load_some(inputs + p * width + unit, count);
                for (int s = 0; s < STATES; ++s) {
                    const int64_t k = s * width + unit;
                    if (HAS_DECAY) {
                        a[s] = load_some(at(call.decay, k), count);
                        da[s] = load_some(decay_gradient + k, count);
                    }
                    h[s] = load_some(before + k, count);
                    g[s] = load_some(gradient + k, count);
                    if (given) g[s] += load_some(given + k, count);
                }
                Math::back(x, a, h, g, dx, da);
                for (int p = 0; p < PARTS; ++p) store_some(to + p * width + unit, dx[p], count);
                for (int s = 0; s < STATES; ++s) {
                    const int64_t k = s * width + unit;
                    store_some(gradient + k, g[s], count);
                    if (HAS_DECAY) store_some(decay_gradient + k, da[s], count);
                }
            });
        }
        std::memcpy(static_cast<T*>(call.first_gradient) + row * STATES * width, gradient,
                    STATES * width * sizeof(T));
        std::memset(
            static_cast<T*>(call.input_gradient) + (row * call.time + length) * PARTS * width, 0,
            (call.time - length) * PARTS * width * sizeof(T));
    }
};

template <typename T, int CELL> void scan_forward(const ScanCall& call) {
    const Scan<T, CELL> scan{call};
    const int64_t size = scan.STATES * call.width, threads = call.workers();
    Buffer<T> states(threads * size);
    for_rows(threads, call.batch,
             [&](int64_t row, int64_t worker) { scan.forward(row, states + worker * size); });
}

template <typename T, int CELL> void scan_backward(const ScanCall& call) {
    const Scan<T, CELL> scan{call};
    const int64_t size = scan.STATES * call.width, threads = call.workers();
    Buffer<T> states(threads * 2 * size), sums(threads * size);
    std::memset(sums, 0, threads * size * sizeof(T));
    for_rows(threads, call.batch, [&](int64_t row, int64_t worker) {
        T* own = states + worker * 2 * size;
        scan.backward(row, own, own + size, sums + worker * size);
    });
    T* total = static_cast<T*>(call.decay_gradient);
    if (!scan.HAS_DECAY || !total) return;
    std::memset(total, 0, size * sizeof(T));
    for (int64_t worker = 0; worker < threads; ++worker)
        for (int64_t k = 0; k < size; ++k) total[k] += sums[worker * size + k];
}

}  // namespace
