// The gradients of a layer's weights, inputs and initial states.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "call.h"
#include "products.h"
#include "vectors.h"

namespace {

template <typename T, int CELL> struct Backward {
    static constexpr int PARTS = parts_of(CELL), MEMORIES = PARTS ? PARTS : 1;
    static constexpr int GATES = gates_of(CELL), COLS = 2, WIDTH = COLS * LANES<T>;
    static constexpr int64_t round_up(int64_t n) { return (n + WIDTH - 1) / WIDTH * WIDTH; }
    const Call& call;
    const int64_t depth = call.depth(), hidden = call.hidden, gates = GATES * hidden;
    const int64_t padded = stride_of<T>(round_up(hidden));
    const int64_t padded_gates = stride_of<T>(round_up(gates));
    const int64_t input_stride = stride_of<T>(depth), state_stride = stride_of<T>(hidden);
    const int64_t state_panels = round_up(hidden) / WIDTH;
    const int64_t input_panels = call.input_gradient ? round_up(depth) / WIDTH : 0;
    const int64_t panels = state_panels + input_panels, panel_size = gates * WIDTH;
    Buffer<T> packed{size_t(call.groups * panels * panel_size)};
    // Sums of a slice: transposed gradients of both weights, and those of the biases. A GRU has one
    // more bias, which its reset gate multiplies.
    const int64_t input_sums = depth * padded_gates, state_sums = hidden * padded_gates;
    const int64_t sums_size = input_sums + state_sums + (GATES + 1) * padded;

    // Copy some columns of a weight to a panel for `multiply`, padded with zeros.
    void pack(int64_t index) {
        const int64_t group = index / panels, panel = index % panels;
        const bool is_state = panel < state_panels;
        const int64_t columns = is_state ? hidden : depth;
        const int64_t first = (is_state ? panel : panel - state_panels) * WIDTH;
        const size_t valid = std::min<int64_t>(WIDTH, columns - first) * sizeof(T);
        const T* from = static_cast<const T*>(is_state ? call.weight : call.input_weight);
        from += group * gates * columns + first;
        T* to = packed + index * panel_size;
        std::memset(to, 0, panel_size * sizeof(T));
        for (int64_t k = 0; k < gates; ++k) std::memcpy(to + k * WIDTH, from + k * columns, valid);
    }

    // Buffers of a thread; those of a block have one row per step and row of the slice.
    struct Work {
        Buffer<T> hidden_gradient, cell_gradient;      // (count, padded): current state
        Buffer<T> input_side, state_side;              // block: gradients of the gates
        Buffer<T> before, inputs;                      // block: factors of the weights
        std::vector<int64_t> positions, previous;      // block: this step, previous step
        T* bias;                                       // (GATES + 1, padded): sums
    };

    void run(const Slice& slice, T* sums) const {
        const int64_t count = int64_t(slice.rows.size());
        const int64_t block = block_rows<T>(gates * (depth + hidden));
        const int64_t steps = std::max<int64_t>(1, block / count), capacity = steps * count;
        Work work{Buffer<T>(count * padded),
                  Buffer<T>(PARTS * count * padded),
                  Buffer<T>(capacity * padded_gates),
                  Buffer<T>(CELL == GRU ? capacity * padded_gates : 0),
                  Buffer<T>(capacity * state_stride),
                  Buffer<T>(capacity * input_stride),
                  std::vector<int64_t>(capacity),
                  std::vector<int64_t>(capacity),
                  sums + input_sums + state_sums};
        Buffer<T> products(capacity * WIDTH);
        std::memset(sums, 0, sums_size * sizeof(T));
        std::memset(work.input_side, 0, capacity * padded_gates * sizeof(T));
        if (CELL == GRU) std::memset(work.state_side, 0, capacity * padded_gates * sizeof(T));
        const T* state_side = CELL == GRU ? work.state_side : work.input_side;
        load_states<T>(slice, call.last_hidden_gradient, hidden, work.hidden_gradient, padded);
        if (PARTS)
            load_states<T>(slice, call.last_cell_gradient, hidden, work.cell_gradient, padded, PARTS);
        const T* weights = packed + slice.group * panels * panel_size;
        for (int64_t end = slice.lengths[0]; end > 0; end -= std::min(steps, end)) {
            int64_t rows = 0;
            for (int64_t step = end - 1; step >= std::max<int64_t>(0, end - steps); --step) {
                const int64_t active = slice.active(step);
                for (int64_t row = 0; row < active; ++row) {
                    work.positions[rows + row] = position(call, slice, row, step);
                    work.previous[rows + row] = step ? position(call, slice, row, step - 1) : -1;
                    for (int64_t unit = 0; unit < hidden; unit += LANES<T>)
                        differentiate(slice, work, row, rows + row, unit);
                }
                if (step || call.first_hidden_gradient)
                    for (int64_t panel = 0; panel < state_panels; ++panel) {
                        multiply_rows<T, COLS>(
                            active, {gates, state_side + rows * padded_gates, padded_gates,
                                     weights + panel * panel_size, WIDTH, products, WIDTH});
                        for (int64_t row = 0; row < active; ++row)
                            for (int j = 0; j < WIDTH; j += LANES<T>) {
                                T* to = work.hidden_gradient + row * padded + panel * WIDTH + j;
                                store(to, load(to) + load(products + row * WIDTH + j));
                            }
                    }
                rows += active;
            }
            add_to_weights(work, rows, state_side, sums);
            if (call.is_table() && call.input_gradient) copy_to_inputs(work, rows);
            add_to_inputs(work, rows, weights + state_panels * panel_size, products);
        }
        store_states<T>(slice, work.hidden_gradient, padded, call.first_hidden_gradient, hidden);
        if (PARTS)
            store_states<T>(slice, work.cell_gradient, padded, call.first_cell_gradient, hidden,
                            PARTS);
        clear_padding(slice);
    }

    void add_to_weights(const Work& work, int64_t rows, const T* state_side, T* sums) const {
        for (int64_t row = 0; row < rows; ++row)
            copy_inputs<T>(call, work.positions[row], work.inputs + row * input_stride);
        for (int64_t gate = 0; gate < gates; gate += WIDTH) {
            multiply_rows<T, COLS, true>(
                depth, {rows, work.inputs, input_stride, work.input_side + gate, padded_gates,
                           sums + gate, padded_gates});
            multiply_rows<T, COLS, true>(
                hidden, {rows, work.before, state_stride, state_side + gate, padded_gates,
                         sums + input_sums + gate, padded_gates});
        }
    }

    void add_to_inputs(const Work& work, int64_t rows, const T* weights, T* products) const {
        for (int64_t panel = 0; panel < input_panels; ++panel) {
            multiply_rows<T, COLS>(rows, {gates, work.input_side, padded_gates,
                                          weights + panel * panel_size, WIDTH, products, WIDTH});
            const int64_t first = panel * WIDTH, valid = std::min<int64_t>(WIDTH, depth - first);
            for (int64_t row = 0; row < rows; ++row) {
                T* to = static_cast<T*>(call.input_gradient) + work.positions[row] * depth + first;
                const T* product = products + row * WIDTH;
                if (call.adds)
                    for (int64_t j = 0; j < valid; ++j) to[j] += product[j];
                else
                    std::memcpy(to, product, valid * sizeof(T));
            }
        }
    }

    // Without an input weight, the gradient of the gates is that of the inputs.
    void copy_to_inputs(const Work& work, int64_t rows) const {
        T* to = static_cast<T*>(call.input_gradient);
        for (int64_t row = 0; row < rows; ++row)
            std::memcpy(to + work.positions[row] * call.features,
                        work.input_side + row * padded_gates, gates * sizeof(T));
    }

    // Of this direction's part only, if the inputs have one per direction.
    void clear_padding(const Slice& slice) const {
        if (!call.input_gradient || (call.adds && !call.is_table())) return;
        const int64_t width = call.is_table() ? gates : call.features;
        for (size_t row = 0; row < slice.rows.size(); ++row)
            for (int64_t step = slice.lengths[row]; step < call.time; ++step)
                std::memset(static_cast<T*>(call.input_gradient) +
                                (slice.rows[row] * call.time + step) * call.features,
                            0, width * sizeof(T));
    }

    // For a vector of units of a row: turn the gradient of the state after a step into those of the
    // gates, and into the part that reaches the previous state without passing a gate.
    INLINE void differentiate(const Slice& slice, Work& work, int64_t row, int64_t block_row,
                              int64_t unit) const {
        const int count = int(hidden - unit);
        const T* activations = static_cast<const T*>(call.activations);
        const T* memory = static_cast<const T*>(call.memory);
        const T* outputs = static_cast<const T*>(call.outputs);
        const T* output_gradient = static_cast<const T*>(call.output_gradient);
        const int64_t at = work.positions[block_row], previous = work.previous[block_row];
        const auto state = [&](const T* states, int64_t width, const void* first) {
            if (previous >= 0) return load_some(states + previous * width + unit, count);
            if (!first) return Vector<T>{};
            return load_some(static_cast<const T*>(first) + slice.rows[row] * hidden + unit, count);
        };
        const auto activation = [&](int gate) {
            return load_some(activations + at * gates + gate * hidden + unit, count);
        };
        const auto add_to_bias = [&](int gate, Vector<T> gradient) {
            T* sum = work.bias + gate * padded + unit;
            store(sum, load(sum) + gradient);
        };
        const auto store_gradients = [&](int gate, Vector<T> to_input, Vector<T> to_state) {
            const int64_t to = block_row * padded_gates + gate * hidden + unit;
            store_some(work.input_side + to, to_input, count);
            if (CELL == GRU) store_some(work.state_side + to, to_state, count);
            add_to_bias(gate, to_input);
        };
        const Vector<T> h_before = state(outputs, call.width, call.first_hidden);
        store_some(work.before + block_row * state_stride + unit, h_before, count);
        T* dh_slot = work.hidden_gradient + row * padded + unit;
        Vector<T> dh = load(dh_slot);
        if (output_gradient) dh += load_some(output_gradient + at * call.width + unit, count);
        if constexpr (CELL == TANH_RNN || CELL == RELU_RNN) {
            const Vector<T> h = load_some(outputs + at * call.width + unit, count);
            dh *= CELL == TANH_RNN ? T(1) - h * h : (h > T(0) ? splat<T>(1) : Vector<T>{});
            store_gradients(0, dh, dh);
            store(dh_slot, Vector<T>{});
        } else if constexpr (CELL == LSTM) {
            const Vector<T> i = activation(0), f = activation(1);
            const Vector<T> g = activation(2), o = activation(3);
            const Vector<T> tanh_c =
                hyperbolic_tangent<T>(load_some(memory + at * hidden + unit, count));
            T* dc_slot = work.cell_gradient + row * padded + unit;
            const Vector<T> dc = load(dc_slot) + dh * o * (T(1) - tanh_c * tanh_c);
            const Vector<T> di = dc * g * i * (T(1) - i), dg = dc * i * (T(1) - g * g);
            const Vector<T> df = dc * state(memory, hidden, call.first_cell) * f * (T(1) - f);
            const Vector<T> d_o = dh * tanh_c * o * (T(1) - o);
            store_gradients(0, di, di);
            store_gradients(1, df, df);
            store_gradients(2, dg, dg);
            store_gradients(3, d_o, d_o);
            store(dc_slot, dc * f);
            store(dh_slot, Vector<T>{});
        } else if constexpr (CELL == REGION) {
            const Vector<T> f = activation(0), u = activation(1);
            const Vector<T> h = load_some(outputs + at * call.width + unit, count);
            T* dc_slot = work.cell_gradient + row * padded + unit;
            const Vector<T> dc = load(dc_slot) + dh * (T(1) - h * h), du = dc * (T(1) - u * u);
            const Vector<T> df = dc * state(memory, hidden, call.first_cell) * f * (T(1) - f);
            store_gradients(0, df, df);
            store_gradients(1, du, du);
            store(dc_slot, dc * f);
            store(dh_slot, Vector<T>{});
        } else if constexpr (CELL == SLSTM) {
            // m has no effect on c / n, so it is a constant here.
            const Vector<T> i = activation(0), f = activation(1), z = activation(2), o = activation(3);
            const auto own = [&](int part) {
                return load_some(memory + (at * MEMORIES + part) * hidden + unit, count);
            };
            const auto before = [&](int part) {
                const T* first = static_cast<const T*>(call.first_cell);
                if (previous >= 0)
                    return load_some(memory + (previous * MEMORIES + part) * hidden + unit, count);
                if (!first) return Vector<T>{};
                return load_some(first + (slice.rows[row] * PARTS + part) * hidden + unit, count);
            };
            T* dc_slot = work.cell_gradient + row * PARTS * padded + unit;
            const Vector<T> c = own(0), n = own(1), ratio = c / n, dh_o = dh * o / n;
            const Vector<T> dc = load(dc_slot) + dh_o, dn = load(dc_slot + padded) - dh_o * ratio;
            const Vector<T> di = (dc * z + dn) * i, dz = dc * i * (T(1) - z * z);
            const Vector<T> df = (dc * before(0) + dn * before(1)) * own(2);
            const Vector<T> d_o = dh * ratio * o * (T(1) - o);
            store_gradients(0, di, di);
            store_gradients(1, df, df);
            store_gradients(2, dz, dz);
            store_gradients(3, d_o, d_o);
            store(dc_slot, dc * f);
            store(dc_slot + padded, dn * f);
            store(dc_slot + 2 * padded, Vector<T>{});
            store(dh_slot, Vector<T>{});
        } else {
            const Vector<T> r = activation(0), z = activation(1), n = activation(2);
            const Vector<T> hn = load_some(memory + at * hidden + unit, count);
            const Vector<T> dn = dh * (T(1) - z) * (T(1) - n * n);
            const Vector<T> dr = dn * hn * r * (T(1) - r);
            const Vector<T> dz = dh * (h_before - n) * z * (T(1) - z);
            store_gradients(0, dr, dr);
            store_gradients(1, dz, dz);
            store_gradients(2, dn, dn * r);
            add_to_bias(3, dn * r);
            store(dh_slot, dh * z);
        }
    }

    // Add the sums of all slices, for some rows of a group's gradients.
    int64_t tiles() const { return (gates + TILE - 1) / TILE; }

    void reduce(const std::vector<Slice>& slices, const T* parts, int64_t index) const {
        const int64_t group = index / tiles(), from = index % tiles() * TILE;
        const int64_t rows = std::min(TILE, gates - from), first = group * gates + from;
        const auto clear = [&](void* gradient, int64_t width) {
            std::fill_n(static_cast<T*>(gradient) + first * width, rows * width, T(0));
        };
        clear(call.input_weight_gradient, depth);
        clear(call.weight_gradient, hidden);
        clear(call.input_bias_gradient, 1);
        clear(call.hidden_bias_gradient, 1);
        for (size_t s = 0; s < slices.size(); ++s) {
            if (slices[s].group != group) continue;
            const T* part = parts + s * sums_size;
            add_transposed(call.input_weight_gradient, first, rows, depth, part + from);
            add_transposed(call.weight_gradient, first, rows, hidden, part + input_sums + from);
            const T* bias = part + input_sums + state_sums;
            for (int64_t row = 0; row < rows; ++row) {
                const int64_t gate = (from + row) / hidden, unit = (from + row) % hidden;
                const int64_t own = CELL == GRU && gate == 2 ? GATES : gate;
                static_cast<T*>(call.input_bias_gradient)[first + row] += bias[gate * padded + unit];
                static_cast<T*>(call.hidden_bias_gradient)[first + row] += bias[own * padded + unit];
            }
        }
    }

    void add_transposed(void* gradient, int64_t first, int64_t rows, int64_t columns,
                        const T* part) const {
        T* to = static_cast<T*>(gradient) + first * columns;
        for (int64_t begin = 0; begin < columns; begin += TILE)
            for (int64_t row = 0; row < rows; ++row)
                for (int64_t k = begin; k < std::min(begin + TILE, columns); ++k)
                    to[row * columns + k] += part[k * padded_gates + row];
    }
};

}  // namespace
