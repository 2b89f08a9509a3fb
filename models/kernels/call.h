// The arguments of a call, and the division of its rows among threads.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "vectors.h"

// One layer in one direction, for `groups` independent sets of weights. Arrays are contiguous.
// `gates` is 1, 4, 3, 2 or 4 times `hidden`, in PyTorch's order; the region cell has forget and candidate,
// the sLSTM input, forget, candidate and output. Its cell state has three parts: c, n and m.
// Pointers marked (null) may be null: for zero states or unneeded results. Outputs and their gradient
// contain all directions, `width` numbers per step; the pointers are to this direction's part. If
// `adds` is set, the input gradient is added to that of another direction. Without an input weight
// (a table), the inputs are added to the gates as they are, and contain all directions: `features`
// is the size of all, `gates` that of this direction's part.
struct Call {
    int64_t cell, groups, batch, time, features, hidden, width, backwards, adds, threads;
    const int64_t* lengths;     // (groups, batch) (null): every sequence is full
    const void* inputs;         // (groups, batch, time, features)
    const void* input_weight;   // (groups, gates, features) (null)
    const void* weight;         // (groups, gates, hidden) recurrent
    const void* input_bias;     // (groups, gates)
    const void* hidden_bias;    // (groups, gates)
    const void* first_hidden;   // (groups, batch, hidden) (null)
    const void* first_cell;     // (groups, batch, hidden) (null)
    void* activations;          // (groups, batch, time, gates) (null): of the gates
    void* memory;               // (groups, batch, time, parts, hidden) (null): cell states, GRU candidates
    void* outputs;              // (groups, batch, time, width)
    // Forward only.
    void* last_hidden;          // (groups, batch, hidden)
    void* last_cell;            // (groups, batch, parts, hidden) of cells that have one
    // Backward only; activations, memory and outputs are then read.
    const void* output_gradient;       // (groups, batch, time, width) (null)
    const void* last_hidden_gradient;  // (groups, batch, hidden) (null)
    const void* last_cell_gradient;    // (groups, batch, parts, hidden) (null)
    void* input_gradient;              // (groups, batch, time, features) (null)
    void* input_weight_gradient;       // (groups, gates, features) (null)
    void* weight_gradient;             // (groups, gates, hidden)
    void* input_bias_gradient;         // (groups, gates)
    void* hidden_bias_gradient;        // (groups, gates)
    void* first_hidden_gradient;       // (groups, batch, hidden) (null)
    void* first_cell_gradient;         // (groups, batch, parts, hidden) (null)

    bool is_table() const { return features && !input_weight; }
    int64_t depth() const { return is_table() ? 0 : features; }  // of the product with inputs
};

namespace {

enum Cell { TANH_RNN, RELU_RNN, LSTM, GRU, REGION, SLSTM };

constexpr int gates_of(int cell) {
    return cell == LSTM || cell == SLSTM ? 4 : cell == GRU ? 3 : cell == REGION ? 2 : 1;
}

// Parts of the cell state, and of what the backward pass needs of it.
constexpr int parts_of(int cell) {
    return cell == SLSTM ? 3 : cell == LSTM || cell == REGION ? 1 : 0;
}

constexpr int64_t MAX_SLICE_ROWS = 128;

// The rows that one thread runs through all steps, the longest first.
struct Slice {
    int64_t group;
    std::vector<int64_t> rows, lengths;

    int64_t active(int64_t step) const {  // number of rows that have this step
        int64_t count = int64_t(rows.size());
        while (count && lengths[count - 1] <= step) --count;
        return count;
    }
};

std::vector<Slice> make_slices(const Call& call) {
    const int64_t threads = std::max<int64_t>(1, call.threads);
    // The states of more rows would not stay in the cache while the weights pass.
    const int64_t needed = (call.batch + MAX_SLICE_ROWS - 1) / MAX_SLICE_ROWS;
    const int64_t each = needed > 1 || call.groups % threads ? threads : 1;
    const int64_t parts = std::min(call.batch, (needed + each - 1) / each * each);
    std::vector<Slice> slices;
    std::vector<int64_t> order(call.batch);
    for (int64_t group = 0; group < call.groups; ++group) {
        const int64_t* lengths = call.lengths ? call.lengths + group * call.batch : nullptr;
        for (int64_t i = 0; i < call.batch; ++i) order[i] = i;
        if (lengths)
            std::stable_sort(order.begin(), order.end(),
                             [=](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
        for (int64_t part = 0; part < parts; ++part) {
            Slice slice{group, {}, {}};
            for (int64_t i = part; i < call.batch; i += parts) {
                slice.rows.push_back(group * call.batch + order[i]);
                // A wrong length must not cause access outside of the arrays.
                slice.lengths.push_back(
                    lengths ? std::clamp<int64_t>(lengths[order[i]], 0, call.time) : call.time);
            }
            slices.push_back(std::move(slice));
        }
    }
    return slices;
}

// The index of a row's step in arrays (row, time).
INLINE int64_t position(const Call& call, const Slice& slice, int64_t row, int64_t step) {
    const int64_t time = call.backwards ? slice.lengths[row] - 1 - step : step;
    return slice.rows[row] * call.time + time;
}

// Copy the inputs of one position that a weight multiplies. Without features the pointer may be null,
// which memcpy must not receive.
template <typename T> INLINE void copy_inputs(const Call& call, int64_t position, T* to) {
    if (call.depth())
        std::memcpy(to, static_cast<const T*>(call.inputs) + position * call.features,
                    call.features * sizeof(T));
}

// Copy the states (batch, parts, hidden) of a slice's rows to and from parts that are `stride` apart. A
// null source stands for zeros; with a null destination nothing is copied.
template <typename T>
void load_states(const Slice& slice, const void* source, int64_t hidden, T* to, int64_t stride,
                 int64_t parts = 1) {
    std::memset(to, 0, slice.rows.size() * parts * stride * sizeof(T));
    if (!source) return;
    for (size_t row = 0; row < slice.rows.size(); ++row)
        for (int64_t part = 0; part < parts; ++part)
            std::memcpy(to + (row * parts + part) * stride,
                        static_cast<const T*>(source) + (slice.rows[row] * parts + part) * hidden,
                        hidden * sizeof(T));
}

template <typename T>
void store_states(const Slice& slice, const T* from, int64_t stride, void* destination,
                  int64_t hidden, int64_t parts = 1) {
    if (!destination) return;
    for (size_t row = 0; row < slice.rows.size(); ++row)
        for (int64_t part = 0; part < parts; ++part)
            std::memcpy(static_cast<T*>(destination) + (slice.rows[row] * parts + part) * hidden,
                        from + (row * parts + part) * stride, hidden * sizeof(T));
}

}  // namespace
