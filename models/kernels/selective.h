// The selective scan of Mamba (Gu & Dao 2023): diagonal recurrences whose states are expanded by N.
//
//     h_t[e, n] = exp(delta_t[e] A[e, n]) h_{t-1}[e, n] + delta_t[e] B_t[n] u_t[e]
//     y_t[e] = sum over n of C_t[n] h_t[e, n] + D[e] u_t[e]
//
// A thread runs a row through all its steps, with the state of the row in the cache: an array
// (batch, time, units, N) is never formed. The forward pass keeps the state of every CHUNK-th step, from
// which the backward pass computes a chunk again.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "products.h"
#include "threads.h"
#include "vectors.h"

// Arrays are contiguous. Pointers marked (null) may be null: for zero states or unneeded results.
struct SelectiveCall {
    int64_t batch, time, width, states, threads;
    const int64_t* lengths;  // (batch) (null): every sequence is full
    const void* inputs;      // (batch, time, width): u
    const void* delta;       // (batch, time, width)
    const void* a;           // (width, states)
    const void* b;           // (batch, time, states)
    const void* c;           // (batch, time, states)
    const void* d;           // (width)
    const void* first;       // (batch, width, states) (null)
    void* kept;              // (batch, chunks, blocks, states, lanes) (null)
    void* outputs;           // (batch, time, width), forward only
    void* last;              // (batch, width, states), forward only
    // Backward only.
    const void* output_gradient;  // (batch, time, width) (null)
    const void* last_gradient;    // (batch, width, states) (null)
    void* input_gradient;         // (batch, time, width)
    void* delta_gradient;         // (batch, time, width)
    void* a_gradient;             // (width, states)
    void* b_gradient;             // (batch, time, states)
    void* c_gradient;             // (batch, time, states)
    void* d_gradient;             // (width)
    void* first_gradient;         // (batch, width, states)

    int64_t length(int64_t row) const {
        return lengths ? std::clamp<int64_t>(lengths[row], 0, time) : time;
    }
    int64_t workers() const { return std::max<int64_t>(1, std::min(threads, batch)); }
};

namespace {

constexpr int64_t CHUNK = 16;

template <typename T> INLINE T sum_of(Vector<T> v) {
    T total = 0;
    for (int lane = 0; lane < LANES<T>; ++lane) total += v[lane];
    return total;
}

template <typename T> struct Selective {
    typedef Vector<T> V;
    const SelectiveCall& call;
    const int64_t width = call.width, states = call.states;
    const int64_t blocks = (width + LANES<T> - 1) / LANES<T>;
    const int64_t size = blocks * states * LANES<T>;  // of a state, by block, n and lane
    const int64_t chunks = (call.time + CHUNK - 1) / CHUNK;
    Buffer<T> decay{size_t(size)};  // A in the order of a state

    static const T* at(const void* array, int64_t offset) {
        return static_cast<const T*>(array) + offset;
    }
    static T* to(void* array, int64_t offset) { return static_cast<T*>(array) + offset; }

    // Copy (width, states) to the order of a state and back; padded lanes are zero.
    void pack(const T* from, T* packed) const {
        std::memset(packed, 0, size * sizeof(T));
        if (!from) return;
        for (int64_t unit = 0; unit < width; ++unit)
            for (int64_t n = 0; n < states; ++n)
                packed[(unit / LANES<T> * states + n) * LANES<T> + unit % LANES<T>] =
                    from[unit * states + n];
    }

    void unpack(const T* packed, T* values) const {
        for (int64_t unit = 0; unit < width; ++unit)
            for (int64_t n = 0; n < states; ++n)
                values[unit * states + n] =
                    packed[(unit / LANES<T> * states + n) * LANES<T> + unit % LANES<T>];
    }

    const T* row_state(const void* array, int64_t row) const {
        return array ? at(array, row * width * states) : nullptr;
    }

    int lanes(int64_t block) const { return int(std::min<int64_t>(LANES<T>, width - block * LANES<T>)); }

    // Run one step of a block; `h` is its state, `factors` receives exp(delta A) if it is not null.
    INLINE V step(V u, V delta, const T* a, const T* b, const T* c, T* h, T* factors) const {
        const V drive = delta * u;
        V y = {};
        for (int64_t n = 0; n < states; ++n) {
            const V factor = exponential<T>(delta * load(a + n * LANES<T>));
            const V next = factor * load(h + n * LANES<T>) + drive * b[n];
            store(h + n * LANES<T>, next);
            if (factors) store(factors + n * LANES<T>, factor);
            y += next * c[n];
        }
        return y;
    }

    void forward(int64_t row, T* h) const {
        pack(row_state(call.first, row), h);
        const int64_t length = call.length(row);
        for (int64_t time = 0; time < length; ++time) {
            if (call.kept && time % CHUNK == 0)
                std::memcpy(to(call.kept, (row * chunks + time / CHUNK) * size), h, size * sizeof(T));
            const int64_t place = row * call.time + time;
            const T *b = at(call.b, place * states), *c = at(call.c, place * states);
            for (int64_t block = 0; block < blocks; ++block) {
                const int64_t unit = block * LANES<T>, own = block * states * LANES<T>;
                const int count = lanes(block);
                const V u = load_some(at(call.inputs, place * width + unit), count);
                const V delta = load_some(at(call.delta, place * width + unit), count);
                const V y = step(u, delta, decay + own, b, c, h + own, nullptr) +
                            u * load_some(at(call.d, unit), count);
                store_some(to(call.outputs, place * width + unit), y, count);
            }
        }
        unpack(h, to(call.last, row * width * states));
        std::memset(to(call.outputs, (row * call.time + length) * width), 0,
                    (call.time - length) * width * sizeof(T));
    }

    // Buffers of a thread: states and factors of a chunk, and sums of gradients.
    struct Work {
        T *history, *factors, *gradient, *a_sum, *d_sum;
        V *b_sum, *c_sum;
    };

    // Compute the states of a chunk again; history[i] is the state before step `begin` + i.
    void replay(int64_t row, int64_t begin, int64_t end, const Work& work) const {
        std::memcpy(work.history, at(call.kept, (row * chunks + begin / CHUNK) * size),
                    size * sizeof(T));
        for (int64_t time = begin; time < end; ++time) {
            const int64_t place = row * call.time + time, number = time - begin;
            T* h = work.history + (number + 1) * size;
            std::memcpy(h, h - size, size * sizeof(T));
            for (int64_t block = 0; block < blocks; ++block) {
                const int64_t unit = block * LANES<T>, own = block * states * LANES<T>;
                const int count = lanes(block);
                step(load_some(at(call.inputs, place * width + unit), count),
                     load_some(at(call.delta, place * width + unit), count), decay + own,
                     at(call.b, place * states), at(call.c, place * states), h + own,
                     work.factors + number * size + own);
            }
        }
    }

    // Add the gradients of one step to the sums, and replace that of the state by the one before.
    void step_back(int64_t place, const T* before, const T* after, const T* factors,
                   const Work& work) const {
        const T *b = at(call.b, place * states), *c = at(call.c, place * states);
        for (int64_t n = 0; n < states; ++n) work.b_sum[n] = work.c_sum[n] = V{};
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t unit = block * LANES<T>, own = block * states * LANES<T>;
            const int count = lanes(block);
            const V u = load_some(at(call.inputs, place * width + unit), count);
            const V delta = load_some(at(call.delta, place * width + unit), count);
            const V dy = call.output_gradient
                             ? load_some(at(call.output_gradient, place * width + unit), count)
                             : V{};
            V du = dy * load_some(at(call.d, unit), count), ddelta = {}, ddrive = {};
            store(work.d_sum + unit, load(work.d_sum + unit) + dy * u);
            for (int64_t n = 0; n < states; ++n) {
                const int64_t k = own + n * LANES<T>;
                const V g = load(work.gradient + k) + dy * c[n], factor = load(factors + k);
                work.c_sum[n] += dy * load(after + k);
                work.b_sum[n] += g * delta * u;
                ddrive += g * b[n];
                const V dexponent = g * load(before + k) * factor;
                ddelta += dexponent * load(decay + k);
                store(work.a_sum + k, load(work.a_sum + k) + dexponent * delta);
                store(work.gradient + k, g * factor);
            }
            du += ddrive * delta;
            ddelta += ddrive * u;
            store_some(to(call.input_gradient, place * width + unit), du, count);
            store_some(to(call.delta_gradient, place * width + unit), ddelta, count);
        }
        for (int64_t n = 0; n < states; ++n) {
            *to(call.b_gradient, place * states + n) = sum_of<T>(work.b_sum[n]);
            *to(call.c_gradient, place * states + n) = sum_of<T>(work.c_sum[n]);
        }
    }

    void backward(int64_t row, const Work& work) const {
        pack(row_state(call.last_gradient, row), work.gradient);
        const int64_t length = call.length(row);
        for (int64_t end = length; end > 0;) {
            const int64_t begin = (end - 1) / CHUNK * CHUNK;
            replay(row, begin, end, work);
            for (int64_t time = end; time-- > begin;) {
                const T* before = work.history + (time - begin) * size;
                step_back(row * call.time + time, before, before + size,
                          work.factors + (time - begin) * size, work);
            }
            end = begin;
        }
        unpack(work.gradient, to(call.first_gradient, row * width * states));
        const int64_t from = row * call.time + length, count = call.time - length;
        for (void* array : {call.input_gradient, call.delta_gradient})
            std::memset(to(array, from * width), 0, count * width * sizeof(T));
        for (void* array : {call.b_gradient, call.c_gradient})
            std::memset(to(array, from * states), 0, count * states * sizeof(T));
    }
};

template <typename T> void selective_forward(const SelectiveCall& call) {
    Selective<T> scan{call};
    scan.pack(scan.at(call.a, 0), scan.decay);
    const int64_t threads = call.workers();
    Buffer<T> states(threads * scan.size);
    for_rows(threads, call.batch,
             [&](int64_t row, int64_t worker) { scan.forward(row, states + worker * scan.size); });
}

template <typename T> void selective_backward(const SelectiveCall& call) {
    Selective<T> scan{call};
    scan.pack(scan.at(call.a, 0), scan.decay);
    const int64_t threads = call.workers();
    const int64_t size = scan.size, width = scan.blocks * LANES<T>;
    const int64_t each = (2 * CHUNK + 3) * size + width + 2 * call.states * LANES<T>;
    Buffer<T> memory(threads * each);
    const auto work_of = [&](int64_t number) {
        T* history = memory + number * each;
        T* factors = history + (CHUNK + 1) * size;
        T* gradient = factors + CHUNK * size;
        T *a_sum = gradient + size, *d_sum = a_sum + size;
        auto* b_sum = reinterpret_cast<Vector<T>*>(d_sum + width);
        return typename Selective<T>::Work{history, factors, gradient, a_sum,
                                           d_sum,   b_sum,   b_sum + call.states};
    };
    for (int64_t number = 0; number < threads; ++number) {
        std::memset(work_of(number).a_sum, 0, size * sizeof(T));
        std::memset(work_of(number).d_sum, 0, width * sizeof(T));
    }
    for_rows(threads, call.batch,
             [&](int64_t row, int64_t worker) { scan.backward(row, work_of(worker)); });
    const auto total = work_of(0);
    for (int64_t number = 1; number < threads; ++number) {
        const auto other = work_of(number);
        for (int64_t k = 0; k < size; ++k) total.a_sum[k] += other.a_sum[k];
        for (int64_t k = 0; k < width; ++k) total.d_sum[k] += other.d_sum[k];
    }
    scan.unpack(total.a_sum, scan.to(call.a_gradient, 0));
    std::memcpy(call.d_gradient, total.d_sum, call.width * sizeof(T));
}

}  // namespace
