// A layer's outputs and final states, and the activations that the backward pass needs.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "call.h"
#include "products.h"
#include "vectors.h"

namespace {

template <typename T, int CELL> struct Forward {
    static constexpr int PARTS = parts_of(CELL), MEMORIES = PARTS ? PARTS : 1;
    static constexpr int GATES = gates_of(CELL), UNIT_VECTORS = GATES <= 2 ? 2 : 1;
    static constexpr int COLS = UNIT_VECTORS * GATES, UNITS = UNIT_VECTORS * LANES<T>;
    static constexpr int WIDTH = COLS * LANES<T>;  // of a panel
    const Call& call;
    const int64_t depth = call.depth(), hidden = call.hidden, gates = GATES * hidden;
    const int64_t panels = (hidden + UNITS - 1) / UNITS, padded = stride_of<T>(panels * UNITS);
    const int64_t input_stride = stride_of<T>(depth);
    const int64_t input_size = depth * WIDTH, state_size = hidden * WIDTH;
    const int64_t bias_size = (GATES + 1) * UNITS;
    Buffer<T> input_panels{size_t(call.groups * panels * input_size)};
    Buffer<T> state_panels{size_t(call.groups * panels * state_size)};
    Buffer<T> biases{size_t(call.groups * panels * bias_size)};

    // Rearrange weights to panel[k][gate][unit].
    void pack_weights(const void* from, int64_t group, int64_t first, int64_t rows, T* panel) const {
        const T* weight = static_cast<const T*>(from) + group * gates * rows;
        for (int64_t begin = 0; begin < rows; begin += TILE)
            for (int gate = 0; gate < GATES; ++gate)
                for (int unit = 0; unit < UNITS; ++unit) {
                    T* column = panel + gate * UNITS + unit;
                    const T* row = weight + (gate * hidden + first + unit) * rows;
                    const bool is_valid = first + unit < hidden;
                    for (int64_t k = begin; k < std::min(begin + TILE, rows); ++k)
                        column[k * WIDTH] = is_valid ? row[k] : T(0);
                }
    }

    // Pack one panel; its biases[gate][unit] end with those that a GRU's reset gate multiplies.
    void pack(int64_t index) {
        const int64_t group = index / panels, first = index % panels * UNITS;
        pack_weights(call.input_weight, group, first, depth, input_panels + index * input_size);
        pack_weights(call.weight, group, first, hidden, state_panels + index * state_size);
        const T* input_bias = static_cast<const T*>(call.input_bias) + group * gates;
        const T* hidden_bias = static_cast<const T*>(call.hidden_bias) + group * gates;
        T* bias = biases + index * bias_size;
        std::memset(bias, 0, bias_size * sizeof(T));
        for (int gate = 0; gate < GATES; ++gate)
            for (int unit = 0; unit < UNITS && first + unit < hidden; ++unit) {
                const int64_t at = gate * hidden + first + unit;
                const bool is_candidate = CELL == GRU && gate == 2;
                bias[gate * UNITS + unit] = input_bias[at] + (is_candidate ? 0 : hidden_bias[at]);
                if (is_candidate) bias[GATES * UNITS + unit] = hidden_bias[at];
            }
    }

    void run(const Slice& slice) const {
        const int64_t count = int64_t(slice.rows.size());
        const int64_t block = block_rows<T>(gates * depth);
        const int64_t steps = std::max<int64_t>(1, block / count), capacity = steps * count;
        Buffer<T> states(2 * count * padded), cells(PARTS * count * padded);
        Buffer<T> inputs(capacity * input_stride), from_inputs(panels * capacity * WIDTH);
        Buffer<T> from_state(count * WIDTH);
        load_states<T>(slice, call.first_hidden, hidden, states, padded);
        if (PARTS) load_states<T>(slice, call.first_cell, hidden, cells, padded, PARTS);
        std::vector<int64_t> positions(capacity);
        for (int64_t begin = 0; begin < slice.lengths[0]; begin += steps) {
            const int64_t end = std::min(begin + steps, slice.lengths[0]);
            int64_t rows = 0;
            for (int64_t step = begin; step < end; ++step)
                for (int64_t row = 0; row < slice.active(step); ++row, ++rows) {
                    positions[rows] = position(call, slice, row, step);
                    copy_inputs<T>(call, positions[rows], inputs + rows * input_stride);
                }
            for (int64_t panel = 0; panel < (call.is_table() ? 0 : panels); ++panel)
                multiply_rows<T, COLS>(
                    rows, {depth, inputs, input_stride,
                           input_panels + (slice.group * panels + panel) * input_size, WIDTH,
                           from_inputs + panel * capacity * WIDTH, WIDTH});
            for (int64_t step = begin, done = 0; step < end; ++step) {
                const int64_t active = slice.active(step);
                const T* before = states + (step % 2) * count * padded;
                T* after = states + (1 - step % 2) * count * padded;
                for (int64_t panel = 0; panel < panels; ++panel) {
                    const int64_t index = slice.group * panels + panel;
                    multiply_rows<T, COLS>(
                        active, {hidden, before, padded, state_panels + index * state_size, WIDTH,
                                 from_state, WIDTH});
                    const T* from_input = from_inputs + (panel * capacity + done) * WIDTH;
                    for (int w = 0; w < UNIT_VECTORS; ++w) {
                        const int64_t lane = w * LANES<T>, unit = panel * UNITS + lane;
                        if (unit < hidden)
                            finish_units(active, positions.data() + done, unit, from_input + lane,
                                         from_state + lane, biases + index * bias_size + lane,
                                         before + unit, after + unit, cells + unit);
                    }
                }
                done += active;
            }
        }
        finish(slice, states, cells);
    }

    void finish(const Slice& slice, const T* states, const T* cells) const {
        if (PARTS) store_states<T>(slice, cells, padded, call.last_cell, hidden, PARTS);
        const int64_t count = int64_t(slice.rows.size());
        for (int64_t row = 0; row < count; ++row) {
            const int64_t to = slice.rows[row] * hidden, length = slice.lengths[row];
            const T* last = states + (length % 2 * count + row) * padded;
            std::memcpy(static_cast<T*>(call.last_hidden) + to, last, hidden * sizeof(T));
            for (int64_t step = length; step < call.time; ++step)
                std::memset(static_cast<T*>(call.outputs) +
                                (slice.rows[row] * call.time + step) * call.width,
                            0, hidden * sizeof(T));
        }
    }

    // Finish one step of some rows for one vector of units, from the products with the weights.
    void finish_units(int64_t active, const int64_t* positions, int64_t unit, const T* from_inputs,
                      const T* from_states, const T* bias, const T* before, T* after,
                      T* cells) const {
        const int count = int(hidden - unit);
        Vector<T> bias_vectors[GATES + 1];
        for (int gate = 0; gate <= GATES; ++gate) bias_vectors[gate] = load(bias + gate * UNITS);
        for (int64_t row = 0; row < active; ++row) {
            Vector<T> from_state[GATES], from_input[GATES];
#pragma GCC unroll 4
            for (int gate = 0; gate < GATES; ++gate) {
                from_state[gate] = load(from_states + row * WIDTH + gate * UNITS);
                from_input[gate] = bias_vectors[gate] +
                                   (call.is_table() ? load_some(own_inputs(positions[row]) +
                                                                    gate * hidden + unit, count)
                                                    : load(from_inputs + row * WIDTH + gate * UNITS));
            }
            if (CELL == GRU) from_state[2] += bias_vectors[GATES];
            const Vector<T> h = finish_cell(from_state, from_input, positions[row], unit, count,
                                            before + row * padded, cells + row * PARTS * padded);
            store(after + row * padded, h);
            store_some(static_cast<T*>(call.outputs) + positions[row] * call.width + unit, h, count);
        }
    }

    // What the inputs of a position add to the gates, where no weight multiplies them.
    INLINE const T* own_inputs(int64_t position) const {
        return static_cast<const T*>(call.inputs) + position * call.features;
    }

    template <typename... Vectors>
    INLINE void save(int64_t at, int64_t unit, int count, Vector<T> memory, Vectors... gate) const {
        if (!call.activations) return;
        save_memory(at, 0, unit, count, memory);
        T* to = static_cast<T*>(call.activations) + at * gates + unit - hidden;
        (store_some(to += hidden, gate, count), ...);
    }

    INLINE void save_memory(int64_t at, int part, int64_t unit, int count, Vector<T> memory) const {
        if (!call.activations) return;
        T* to = static_cast<T*>(call.memory) + (at * MEMORIES + part) * hidden + unit;
        store_some(to, memory, count);
    }

    INLINE Vector<T> finish_cell(const Vector<T>* from_state, const Vector<T>* from_input, int64_t at,
                                 int64_t unit, int count, const T* before, T* cell) const {
        if constexpr (CELL == TANH_RNN) {
            return hyperbolic_tangent<T>(from_state[0] + from_input[0]);
        } else if constexpr (CELL == RELU_RNN) {
            const Vector<T> x = from_state[0] + from_input[0];
            return x < T(0) ? Vector<T>{} : x;
        } else if constexpr (CELL == LSTM) {
            const Vector<T> i = sigmoid<T>(from_state[0] + from_input[0]);
            const Vector<T> f = sigmoid<T>(from_state[1] + from_input[1]);
            const Vector<T> g = hyperbolic_tangent<T>(from_state[2] + from_input[2]);
            const Vector<T> o = sigmoid<T>(from_state[3] + from_input[3]);
            const Vector<T> c = f * load(cell) + i * g;
            store(cell, c);
            save(at, unit, count, c, i, f, g, o);
            return o * hyperbolic_tangent<T>(c);
        } else if constexpr (CELL == REGION) {
            const Vector<T> f = sigmoid<T>(from_state[0] + from_input[0]);
            const Vector<T> u = hyperbolic_tangent<T>(from_state[1] + from_input[1]);
            const Vector<T> c = f * load(cell) + u;
            store(cell, c);
            save(at, unit, count, c, f, u);
            return hyperbolic_tangent<T>(c);
        } else if constexpr (CELL == SLSTM) {
            const Vector<T> i = from_state[0] + from_input[0], f = from_state[1] + from_input[1];
            const Vector<T> z = hyperbolic_tangent<T>(from_state[2] + from_input[2]);
            const Vector<T> o = sigmoid<T>(from_state[3] + from_input[3]);
            // m keeps the exponentials below 1. A state of zeros is that before the first step.
            const Vector<T> n_before = load(cell + padded);
            const Vector<T> m_before = n_before == T(0) ? splat<T>(-1e30) : load(cell + 2 * padded);
            const Vector<T> negative = f < T(0) ? f : Vector<T>{};
            const Vector<T> tail = exponential<T>(f < T(0) ? f : -f), share = T(1) / (T(1) + tail);
            const Vector<T> log_forget = negative - log1p_of_unit<T>(tail) + m_before;
            const Vector<T> m = log_forget > i ? log_forget : i;
            const Vector<T> input = exponential<T>(i - m);
            const Vector<T> forget = exponential<T>(negative + m_before - m) * share;
            const Vector<T> c = forget * load(cell) + input * z, n = forget * n_before + input;
            store(cell, c);
            store(cell + padded, n);
            store(cell + 2 * padded, m);
            save(at, unit, count, c, input, forget, z, o);
            save_memory(at, 1, unit, count, n);
            // The slope of the forget factor: forget * (1 - sigmoid(f)).
            save_memory(at, 2, unit, count, forget * share * (f < T(0) ? splat<T>(1) : tail));
            return o * c / n;
        } else {
            const Vector<T> r = sigmoid<T>(from_state[0] + from_input[0]);
            const Vector<T> z = sigmoid<T>(from_state[1] + from_input[1]);
            const Vector<T> n = hyperbolic_tangent<T>(from_input[2] + r * from_state[2]);
            save(at, unit, count, from_state[2], r, z, n);
            return n + z * (load(before) - n);
        }
    }
};

}  // namespace
