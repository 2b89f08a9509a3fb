// Products of small matrices, and aligned memory for them.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "vectors.h"

namespace {

struct Release {
    void operator()(void* memory) const { ::operator delete(memory, std::align_val_t(64)); }
};

template <typename T> struct Buffer {
    std::unique_ptr<T, Release> memory;
    explicit Buffer(size_t count)
        : memory(static_cast<T*>(::operator new(count * sizeof(T) + 64, std::align_val_t(64)))) {}
    operator T*() const { return memory.get(); }
};

constexpr int64_t TILE = 16;  // rows of a matrix that stay in the cache while it is transposed

// The distance between rows of `count` numbers: an odd number of cache lines, because rows a power
// of two apart would share the same few lines of the cache.
template <typename T> constexpr int64_t stride_of(int64_t count) {
    return ((count * int64_t(sizeof(T)) + 63) / 64 | 1) * 64 / int64_t(sizeof(T));
}

// The rows of a block: more for larger weights, which are then read less often.
template <typename T> int64_t block_rows(int64_t weights) {
    return std::clamp<int64_t>(weights * sizeof(T) >> 14, 64, 512);
}

// A product of two matrices. Without OUTER, `a` is (rows, depth) and the product overwrites `out`
// (rows, COLS * LANES). With OUTER, `a` is (depth, rows) and the product is added to `out`.
template <typename T> struct Factors {
    int64_t depth;
    const T* a;
    int64_t a_stride;
    const T* b;  // (depth, COLS * LANES)
    int64_t b_stride;
    T* out;
    int64_t out_stride;
};

// Multiply ROWS rows with all sums in registers.
template <typename T, int ROWS, int COLS, bool OUTER>
__attribute__((noinline)) void multiply(const Factors<T>& factors) {
    const T* a = factors.a;
    const T* b = factors.b;
    const int64_t row_step = OUTER ? 1 : factors.a_stride, depth_step = OUTER ? factors.a_stride : 1;
    Vector<T> acc[ROWS][COLS] = {};
    for (int64_t k = 0; k < factors.depth; ++k, a += depth_step, b += factors.b_stride) {
        Vector<T> columns[COLS];
#pragma GCC unroll 4
        for (int j = 0; j < COLS; ++j) columns[j] = load(b + j * LANES<T>);
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; ++i) {
            const Vector<T> x = splat<T>(a[i * row_step]);
#pragma GCC unroll 4
            for (int j = 0; j < COLS; ++j) acc[i][j] += x * columns[j];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < COLS; ++j) {
            T* to = factors.out + i * factors.out_stride + j * LANES<T>;
            store(to, OUTER ? load(to) + acc[i][j] : acc[i][j]);
        }
}

template <int COLS> constexpr int MOST_ROWS = (int(REGISTERS) - COLS - 2) / COLS;

// Multiply any number of rows, in tiles of similar size.
template <typename T, int COLS, bool OUTER = false>
void multiply_rows(int64_t count, Factors<T> factors) {
    constexpr int MAX_ROWS = MOST_ROWS<COLS>;
    const int64_t parts = (count + MAX_ROWS - 1) / MAX_ROWS;
    for (int64_t part = 0; part < parts; ++part) {
        const int64_t rows = count / parts + (part < count % parts);
        switch (rows) {
#define CASE(N) \
    case N: if constexpr (N <= MAX_ROWS) multiply<T, N, COLS, OUTER>(factors); break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
            CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#undef CASE
        }
        factors.a += rows * (OUTER ? 1 : factors.a_stride);
        factors.out += rows * factors.out_stride;
    }
}

}  // namespace
