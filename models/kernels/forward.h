// A layer's outputs and last states, and what the way back needs of the gates.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "call.h"
#include "products.h"
#include "vectors.h"

namespace {

// Vectors of units that a panel of weights is wide: enough columns to keep the registers busy.
template <int CELL> constexpr int UNIT_VECTORS = gates_of(CELL) == 1 ? 2 : 1;

template <typename T, int CELL> struct Forward {
    static constexpr int GATES = gates_of(CELL), WIDE = UNIT_VECTORS<CELL>, COLS = WIDE * GATES;
    static constexpr int UNITS = WIDE * LANES<T>;
    static constexpr int WIDTH = COLS * LANES<T>;  // of a panel
    const Call& call;
    const int64_t features = call.features, hidden = call.hidden, gates = GATES * hidden;
    const int64_t panels = (hidden + UNITS - 1) / UNITS, padded = spread<T>(panels * UNITS);
    const int64_t input_stride = spread<T>(features);
    const int64_t input_size = features * WIDTH, state_size = hidden * WIDTH;
    const int64_t bias_size = (GATES + 1) * UNITS;
    Buffer<T> input_panels{size_t(call.groups * panels * input_size)};
    Buffer<T> state_panels{size_t(call.groups * panels * state_size)};
    Buffer<T> biases{size_t(call.groups * panels * bias_size)};

    // panel[k][gate][unit]
    void pack_weights(const void* from, int64_t group, int64_t first, int64_t depth, T* panel) const {
        const T* weight = static_cast<const T*>(from) + group * gates * depth;
        for (int64_t begin = 0; begin < depth; begin += TILE)
            for (int gate = 0; gate < GATES; ++gate)
                for (int unit = 0; unit < UNITS; ++unit) {
                    T* column = panel + gate * UNITS + unit;
                    const T* row = weight + (gate * hidden + first + unit) * depth;
                    const bool is_there = first + unit < hidden;
                    for (int64_t k = begin; k < std::min(begin + TILE, depth); ++k)
                        column[k * WIDTH] = is_there ? row[k] : T(0);
                }
    }

    // biases[gate][unit] of a panel, those that a GRU's reset gate acts on last.
    void pack(int64_t index) {
        const int64_t group = index / panels, first = index % panels * UNITS;
        pack_weights(call.input_weight, group, first, features, input_panels + index * input_size);
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
        const int64_t block = rows_of_block<T>(gates * features);
        const int64_t steps = std::max<int64_t>(1, block / count), most = steps * count;
        Buffer<T> states(2 * count * padded), cells(CELL == LSTM ? count * padded : 0);
        Buffer<T> inputs(most * input_stride), from_inputs(panels * most * WIDTH);
        Buffer<T> from_state(count * WIDTH);
        take_states<T>(slice, call.first_hidden, hidden, states, padded);
        if (CELL == LSTM) take_states<T>(slice, call.first_cell, hidden, cells, padded);
        std::vector<int64_t> places(most);
        for (int64_t begin = 0; begin < slice.lengths[0]; begin += steps) {
            const int64_t end = std::min(begin + steps, slice.lengths[0]);
            int64_t rows = 0;
            for (int64_t step = begin; step < end; ++step)
                for (int64_t row = 0; row < slice.active(step); ++row, ++rows) {
                    places[rows] = place(call, slice, row, step);
                    take_inputs<T>(call, places[rows], inputs + rows * input_stride);
                }
            for (int64_t panel = 0; panel < panels; ++panel)
                multiply_rows<T, COLS>(
                    rows, {features, inputs, input_stride,
                           input_panels + (slice.group * panels + panel) * input_size, WIDTH,
                           from_inputs + panel * most * WIDTH, WIDTH});
            for (int64_t step = begin, done = 0; step < end; ++step) {
                const int64_t active = slice.active(step);
                const T* before = states + (step % 2) * count * padded;
                T* after = states + (1 - step % 2) * count * padded;
                for (int64_t panel = 0; panel < panels; ++panel) {
                    const int64_t index = slice.group * panels + panel;
                    multiply_rows<T, COLS>(
                        active, {hidden, before, padded, state_panels + index * state_size, WIDTH,
                                 from_state, WIDTH});
                    const T* from_input = from_inputs + (panel * most + done) * WIDTH;
                    for (int w = 0; w < WIDE; ++w) {
                        const int64_t lane = w * LANES<T>, unit = panel * UNITS + lane;
                        if (unit < hidden)
                            finish_units(active, places.data() + done, unit, from_input + lane,
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
        if (CELL == LSTM) give_states<T>(slice, cells, padded, call.last_cell, hidden);
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

    // One step of some rows for one vector of units, whose products with weights are there.
    void finish_units(int64_t active, const int64_t* places, int64_t unit, const T* from_inputs,
                      const T* from_states, const T* bias, const T* before, T* after,
                      T* cells) const {
        const int room = int(hidden - unit);
        Vector<T> biases_here[GATES + 1];
        for (int gate = 0; gate <= GATES; ++gate) biases_here[gate] = load(bias + gate * UNITS);
        for (int64_t row = 0; row < active; ++row) {
            Vector<T> from_state[GATES], from_input[GATES];
#pragma GCC unroll 4
            for (int gate = 0; gate < GATES; ++gate) {
                from_state[gate] = load(from_states + row * WIDTH + gate * UNITS);
                from_input[gate] = load(from_inputs + row * WIDTH + gate * UNITS) + biases_here[gate];
            }
            if (CELL == GRU) from_state[2] += biases_here[GATES];
            const Vector<T> h = finish_cell(from_state, from_input, places[row], unit, room,
                                            before + row * padded, cells + row * padded);
            store(after + row * padded, h);
            store_some(static_cast<T*>(call.outputs) + places[row] * call.width + unit, h, room);
        }
    }

    INLINE void keep(int gate, int64_t at, int64_t unit, Vector<T> value, int room) const {
        if (call.activations)
            store_some(static_cast<T*>(call.activations) + at * gates + gate * hidden + unit, value,
                       room);
    }

    INLINE void remember(int64_t at, int64_t unit, Vector<T> value, int room) const {
        if (call.memory)
            store_some(static_cast<T*>(call.memory) + at * hidden + unit, value, room);
    }

    INLINE Vector<T> finish_cell(const Vector<T>* from_state, const Vector<T>* from_input, int64_t at,
                                 int64_t unit, int room, const T* before, T* cell) const {
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
            keep(0, at, unit, i, room);
            keep(1, at, unit, f, room);
            keep(2, at, unit, g, room);
            keep(3, at, unit, o, room);
            remember(at, unit, c, room);
            return o * hyperbolic_tangent<T>(c);
        } else {
            const Vector<T> r = sigmoid<T>(from_state[0] + from_input[0]);
            const Vector<T> z = sigmoid<T>(from_state[1] + from_input[1]);
            const Vector<T> n = hyperbolic_tangent<T>(from_input[2] + r * from_state[2]);
            keep(0, at, unit, r, room);
            keep(1, at, unit, z, room);
            keep(2, at, unit, n, room);
            remember(at, unit, from_state[2], room);
            return n + z * (load(before) - n);
        }
    }
};

}  // namespace
