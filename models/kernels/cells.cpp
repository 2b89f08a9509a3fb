// The recurrences of RNN, LSTM and GRU over whole sequences, forward and backward, on a CPU.
//
// Rows of a batch do not depend on each other, so each thread takes some of them through all steps
// and waits for nobody. Weights are rearranged once a call, so that the inner loop reads them in
// order: for a panel of units, along the inputs or the state, the weights of all gates. What does
// not depend on the step before, products with inputs and the gradients of inputs and weights, is
// done for the rows of a block of steps at a time, while they are in the cache.
//
// Plain C++17 with the vector extensions of GCC and Clang; no headers of any library.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

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

enum Cell { TANH_RNN, RELU_RNN, LSTM, GRU };

// ------------------------------------------------------------------ vectors of float and double

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

// The first `count` lanes only: a layer's last units need not fill a vector.
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

template <typename T> INLINE Vector<T> bound(Vector<T> x, T low, T high) {
    x = x < low ? splat<T>(low) : x;
    return x > high ? splat<T>(high) : x;
}

template <typename T> INLINE Vector<T> power_of_two(Vector<T> rounded) {
    // `rounded` is an integer plus the rounder, whose lowest bits hold that integer.
    const Vector<T> rounder = splat<T>(Traits<T>::rounder);
    return (Vector<T>)(((Bits<T>)rounded - (Bits<T>)rounder + Traits<T>::bias) << Traits<T>::mantissa);
}

// exp(r) for |r| <= ln(2) / 2, by its Taylor series to the type's last digit.
INLINE Vector<float> exp_near_zero(Vector<float> r) {
    Vector<float> p = splat(1.0f / 720) * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    return p * r + 1.0f;
}

INLINE Vector<double> exp_near_zero(Vector<double> r) {
    Vector<double> p = splat(1.0 / 6227020800) * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1.0;
    return p * r + 1.0;
}

template <typename T> INLINE Vector<T> exponential(Vector<T> x) {
    typedef Traits<T> M;
    x = bound<T>(x, M::smallest_exponent, M::largest_exponent);
    const Vector<T> rounded = x * M::log2e + M::rounder;
    const Vector<T> n = rounded - M::rounder;
    const Vector<T> r = (x - n * M::ln2_high) - n * M::ln2_low;
    return exp_near_zero(r) * power_of_two<T>(rounded);
}

template <typename T> INLINE Vector<T> sigmoid(Vector<T> x) {
    return T(1) / (T(1) + exponential<T>(-x));
}

// tanh(x) for |x| < 0.625 (Moshier, Cephes: tanhf.c and tanh.c).
INLINE Vector<float> tanh_near_zero(Vector<float> x) {
    const Vector<float> z = x * x;
    Vector<float> p = z * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    return x + x * z * p;
}

INLINE Vector<double> tanh_near_zero(Vector<double> x) {
    const Vector<double> z = x * x;
    Vector<double> p = z * -9.64399179425052238628e-1 - 9.92877231001918586564e1;
    p = p * z - 1.61468768441708447952e3;
    Vector<double> q = z + 1.12811678491632931402e2;
    q = q * z + 2.23548839060100448583e3;
    q = q * z + 4.84406305325125486048e3;
    return x + x * z * (p / q);
}

template <typename T> INLINE Vector<T> hyperbolic_tangent(Vector<T> x) {
    const Vector<T> small = tanh_near_zero(x);
    const Vector<T> large = T(1) - T(2) / (exponential<T>(x + x) + T(1));
    return (x < T(0.625)) & (x > T(-0.625)) ? small : large;
}

// -------------------------------------------------------------------------------- memory

struct Release {
    void operator()(void* memory) const { ::operator delete(memory, std::align_val_t(64)); }
};

template <typename T> struct Buffer {
    std::unique_ptr<T, Release> memory;
    explicit Buffer(size_t count)
        : memory(static_cast<T*>(::operator new(count * sizeof(T) + 64, std::align_val_t(64)))) {}
    operator T*() const { return memory.get(); }
};

// -------------------------------------------------------------------------------- the call

}  // namespace

extern "C" {

// One layer in one direction, for `groups` independent sets of weights. Arrays are contiguous and
// batch comes before time; `gates` is 1, 4 or 3 times `hidden`, in PyTorch's order. Pointers marked
// (null) may be null: states then start from zero, results are not wanted. Outputs and their
// gradient are those of all directions side by side, `width` numbers a step; the pointers are to
// this direction's part. Of the input gradient the first direction called sets what others add to.
struct Call {
    int64_t cell, groups, batch, time, features, hidden, width, backwards, adds, threads;
    const int64_t* lengths;     // (groups, batch) (null): every sequence is full
    const void* inputs;         // (groups, batch, time, features)
    const void* input_weight;   // (groups, gates, features)
    const void* weight;         // (groups, gates, hidden) recurrent
    const void* input_bias;     // (groups, gates)
    const void* hidden_bias;    // (groups, gates)
    const void* first_hidden;   // (groups, batch, hidden) (null)
    const void* first_cell;     // (groups, batch, hidden) (null)
    void* activations;          // (groups, batch, time, gates) (null): of the gates
    void* memory;               // (groups, batch, time, hidden) (null): LSTM cells, GRU candidates
    void* outputs;              // (groups, batch, time, width)
    // Forward only.
    void* last_hidden;          // (groups, batch, hidden)
    void* last_cell;            // (groups, batch, hidden) LSTM
    // Backward only; activations, memory and outputs are then read.
    const void* output_gradient;       // (groups, batch, time, width) (null)
    const void* last_hidden_gradient;  // (groups, batch, hidden) (null)
    const void* last_cell_gradient;    // (groups, batch, hidden) (null)
    void* input_gradient;              // (groups, batch, time, features) (null)
    void* input_weight_gradient;       // (groups, gates, features)
    void* weight_gradient;             // (groups, gates, hidden)
    void* input_bias_gradient;         // (groups, gates)
    void* hidden_bias_gradient;        // (groups, gates)
    void* first_hidden_gradient;       // (groups, batch, hidden) (null)
    void* first_cell_gradient;         // (groups, batch, hidden) (null)
};
}

namespace {

constexpr int gates_of(int cell) { return cell == LSTM ? 4 : cell == GRU ? 3 : 1; }

// Vectors of units that a panel of weights is wide: enough columns to keep the registers busy.
template <int CELL> constexpr int UNIT_VECTORS = gates_of(CELL) == 1 ? 2 : 1;

// Two matrices to multiply and where the product goes. Without OUTER, `a` is (rows, depth) and the
// product replaces what `out` (rows, COLS * LANES) holds. With it, `a` is (depth, rows), read along
// its columns, and the product is added to `out`, whose rows are `out_stride` apart.
template <typename T> struct Factors {
    int64_t depth;
    const T* a;
    int64_t a_stride;
    const T* b;  // (depth, COLS * LANES), its rows `b_stride` apart
    int64_t b_stride;
    T* out;
    int64_t out_stride;
};

// For ROWS rows, all of it in registers.
template <typename T, int ROWS, int COLS, bool OUTER>
__attribute__((noinline)) void multiply(const Factors<T>& factors) {
    const T* a = factors.a;
    const T* b = factors.b;
    const int64_t across = OUTER ? 1 : factors.a_stride, along = OUTER ? factors.a_stride : 1;
    Vector<T> acc[ROWS][COLS] = {};
    for (int64_t k = 0; k < factors.depth; ++k, a += along, b += factors.b_stride) {
        Vector<T> columns[COLS];
#pragma GCC unroll 4
        for (int j = 0; j < COLS; ++j) columns[j] = load(b + j * LANES<T>);
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; ++i) {
            const Vector<T> x = splat<T>(a[i * across]);
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

// For any number of rows, in tiles of like size.
template <typename T, int COLS, bool OUTER = false>
void multiply_rows(int64_t count, Factors<T> factors) {
    constexpr int MOST = MOST_ROWS<COLS>;
    const int64_t parts = (count + MOST - 1) / MOST;
    for (int64_t part = 0; part < parts; ++part) {
        const int64_t rows = count / parts + (part < count % parts);
        switch (rows) {
#define CASE(N) \
    case N: if constexpr (N <= MOST) multiply<T, N, COLS, OUTER>(factors); break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
            CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#undef CASE
        }
        factors.a += rows * (OUTER ? 1 : factors.a_stride);
        factors.out += rows * factors.out_stride;
    }
}

constexpr int64_t TILE = 16;  // rows of a matrix that stay in the cache while it is turned around

// How far apart to keep rows of `count` numbers: whole vectors, and an odd number of cache lines, as
// rows a power of two apart contend for the same few places in the cache.
template <typename T> constexpr int64_t spread(int64_t count) {
    return ((count * int64_t(sizeof(T)) + 63) / 64 | 1) * 64 / int64_t(sizeof(T));
}

// Rows worth a pass over weights of some size: more, the less of them a cache can hold.
template <typename T> int64_t rows_of_block(int64_t weights) {
    return std::clamp<int64_t>(weights * sizeof(T) >> 14, 64, 512);
}

// The rows one thread takes through all steps, the longest first.
struct Slice {
    int64_t group;
    std::vector<int64_t> rows, lengths;

    int64_t active(int64_t step) const {  // rows that have this step
        int64_t count = int64_t(rows.size());
        while (count && lengths[count - 1] <= step) --count;
        return count;
    }
};

std::vector<Slice> slices_of(const Call& call) {
    const int64_t threads = std::max<int64_t>(1, call.threads);
    const int64_t parts = std::min(call.batch, call.groups % threads ? threads : 1);
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
                // A wrong length must not lead out of the arrays.
                slice.lengths.push_back(
                    lengths ? std::clamp<int64_t>(lengths[order[i]], 0, call.time) : call.time);
            }
            slices.push_back(std::move(slice));
        }
    }
    return slices;
}

// Where a step of a row lies among all (row, time) places.
INLINE int64_t place(const Call& call, const Slice& slice, int64_t row, int64_t step) {
    const int64_t time = call.backwards ? slice.lengths[row] - 1 - step : step;
    return slice.rows[row] * call.time + time;
}

// The states (batch, hidden) of a slice's rows, from and to rows that are `stride` apart. Given
// none they are zero; if none are wanted nothing is done.
template <typename T>
void take_states(const Slice& slice, const void* given, int64_t hidden, T* to, int64_t stride) {
    std::memset(to, 0, slice.rows.size() * stride * sizeof(T));
    if (given)
        for (size_t row = 0; row < slice.rows.size(); ++row)
            std::memcpy(to + row * stride, static_cast<const T*>(given) + slice.rows[row] * hidden,
                        hidden * sizeof(T));
}

template <typename T>
void give_states(const Slice& slice, const T* from, int64_t stride, void* wanted, int64_t hidden) {
    if (wanted)
        for (size_t row = 0; row < slice.rows.size(); ++row)
            std::memcpy(static_cast<T*>(wanted) + slice.rows[row] * hidden, from + row * stride,
                        hidden * sizeof(T));
}

// ------------------------------------------------------------------------------- forward

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
                    std::memcpy(inputs + rows * input_stride,
                                static_cast<const T*>(call.inputs) + places[rows] * features,
                                features * sizeof(T));
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

// ------------------------------------------------------------------------------ backward

// The columns of a matrix as panels for `multiply`, zero where it has no more.
template <typename T, int WIDTH>
void pack_columns(const T* matrix, int64_t rows, int64_t columns, int64_t panel, T* to) {
    const int64_t first = panel * WIDTH, there = std::min<int64_t>(WIDTH, columns - first);
    for (int64_t k = 0; k < rows; ++k, to += WIDTH) {
        std::memset(to, 0, WIDTH * sizeof(T));
        std::memcpy(to, matrix + k * columns + first, there * sizeof(T));
    }
}

template <typename T, int CELL> struct Backward {
    static constexpr int GATES = gates_of(CELL), COLS = 2, WIDTH = COLS * LANES<T>;
    static constexpr int64_t round_up(int64_t n) { return (n + WIDTH - 1) / WIDTH * WIDTH; }
    const Call& call;
    const int64_t features = call.features, hidden = call.hidden, gates = GATES * hidden;
    const int64_t padded = spread<T>(round_up(hidden)), padded_gates = spread<T>(round_up(gates));
    const int64_t input_stride = spread<T>(features), state_stride = spread<T>(hidden);
    const int64_t state_panels = round_up(hidden) / WIDTH;
    const int64_t input_panels = call.input_gradient ? round_up(features) / WIDTH : 0;
    const int64_t panels = state_panels + input_panels, panel_size = gates * WIDTH;
    Buffer<T> packed{size_t(call.groups * panels * panel_size)};
    // What a slice adds up: gradients of both weights, transposed, and of the biases, of which a GRU
    // has one more, that its reset gate acts on.
    const int64_t input_sums = features * padded_gates, state_sums = hidden * padded_gates;
    const int64_t sums_size = input_sums + state_sums + (GATES + 1) * padded;

    void pack(int64_t index) {
        const int64_t group = index / panels, panel = index % panels;
        T* to = packed + index * panel_size;
        if (panel < state_panels) {
            const T* weight = static_cast<const T*>(call.weight) + group * gates * hidden;
            pack_columns<T, WIDTH>(weight, gates, hidden, panel, to);
        } else {
            const T* weight = static_cast<const T*>(call.input_weight) + group * gates * features;
            pack_columns<T, WIDTH>(weight, gates, features, panel - state_panels, to);
        }
    }

    // What a thread has at hand; arrays of a block have a row for each row of each of its steps.
    struct Work {
        Buffer<T> hidden_gradient, cell_gradient;      // (count, padded): of the state of now
        Buffer<T> input_side, state_side;              // block: gradients of the gates
        Buffer<T> before, inputs;                      // block: what the weights were multiplied by
        std::vector<int64_t> places, earlier;          // block: of the step, and of the one before
        T* bias;                                       // (GATES + 1, padded): sums
    };

    void run(const Slice& slice, T* sums) const {
        const int64_t count = int64_t(slice.rows.size());
        const int64_t block = rows_of_block<T>(gates * (features + hidden));
        const int64_t steps = std::max<int64_t>(1, block / count), most = steps * count;
        Work work{Buffer<T>(count * padded),
                  Buffer<T>(CELL == LSTM ? count * padded : 0),
                  Buffer<T>(most * padded_gates),
                  Buffer<T>(CELL == GRU ? most * padded_gates : 0),
                  Buffer<T>(most * state_stride),
                  Buffer<T>(most * input_stride),
                  std::vector<int64_t>(most),
                  std::vector<int64_t>(most),
                  sums + input_sums + state_sums};
        Buffer<T> products(most * WIDTH);
        std::memset(sums, 0, sums_size * sizeof(T));
        std::memset(work.input_side, 0, most * padded_gates * sizeof(T));
        if (CELL == GRU) std::memset(work.state_side, 0, most * padded_gates * sizeof(T));
        const T* state_side = CELL == GRU ? work.state_side : work.input_side;
        take_states<T>(slice, call.last_hidden_gradient, hidden, work.hidden_gradient, padded);
        if (CELL == LSTM)
            take_states<T>(slice, call.last_cell_gradient, hidden, work.cell_gradient, padded);
        const T* weights = packed + slice.group * panels * panel_size;
        for (int64_t end = slice.lengths[0]; end > 0; end -= std::min(steps, end)) {
            int64_t rows = 0;
            for (int64_t step = end - 1; step >= std::max<int64_t>(0, end - steps); --step) {
                const int64_t active = slice.active(step);
                for (int64_t row = 0; row < active; ++row) {
                    work.places[rows + row] = place(call, slice, row, step);
                    work.earlier[rows + row] = step ? place(call, slice, row, step - 1) : -1;
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
            give_to_inputs(work, rows, weights + state_panels * panel_size, products);
        }
        give_states<T>(slice, work.hidden_gradient, padded, call.first_hidden_gradient, hidden);
        if (CELL == LSTM)
            give_states<T>(slice, work.cell_gradient, padded, call.first_cell_gradient, hidden);
        clear_padding(slice);
    }

    void add_to_weights(const Work& work, int64_t rows, const T* state_side, T* sums) const {
        const T* inputs = static_cast<const T*>(call.inputs);
        for (int64_t row = 0; row < rows; ++row)
            std::memcpy(work.inputs + row * input_stride, inputs + work.places[row] * features,
                        features * sizeof(T));
        for (int64_t gate = 0; gate < gates; gate += WIDTH) {
            multiply_rows<T, COLS, true>(
                features, {rows, work.inputs, input_stride, work.input_side + gate, padded_gates,
                           sums + gate, padded_gates});
            multiply_rows<T, COLS, true>(
                hidden, {rows, work.before, state_stride, state_side + gate, padded_gates,
                         sums + input_sums + gate, padded_gates});
        }
    }

    void give_to_inputs(const Work& work, int64_t rows, const T* weights, T* products) const {
        for (int64_t panel = 0; panel < input_panels; ++panel) {
            multiply_rows<T, COLS>(rows, {gates, work.input_side, padded_gates,
                                          weights + panel * panel_size, WIDTH, products, WIDTH});
            const int64_t first = panel * WIDTH, there = std::min<int64_t>(WIDTH, features - first);
            for (int64_t row = 0; row < rows; ++row) {
                T* to = static_cast<T*>(call.input_gradient) + work.places[row] * features + first;
                const T* product = products + row * WIDTH;
                if (call.adds)
                    for (int64_t j = 0; j < there; ++j) to[j] += product[j];
                else
                    std::memcpy(to, product, there * sizeof(T));
            }
        }
    }

    void clear_padding(const Slice& slice) const {
        if (call.input_gradient && !call.adds)
            for (size_t row = 0; row < slice.rows.size(); ++row) {
                const int64_t beyond = slice.rows[row] * call.time + slice.lengths[row];
                const int64_t steps = call.time - slice.lengths[row];
                std::memset(static_cast<T*>(call.input_gradient) + beyond * features, 0,
                            steps * features * sizeof(T));
            }
    }

    // A vector of units of a row: from the gradient of the state after a step to those of the gates,
    // and to what of it reaches the state before the step other than by the gates.
    INLINE void differentiate(const Slice& slice, Work& work, int64_t row, int64_t in_block,
                              int64_t unit) const {
        const int room = int(hidden - unit);
        const T* activations = static_cast<const T*>(call.activations);
        const T* memory = static_cast<const T*>(call.memory);
        const T* outputs = static_cast<const T*>(call.outputs);
        const T* output_gradient = static_cast<const T*>(call.output_gradient);
        const int64_t at = work.places[in_block], earlier = work.earlier[in_block];
        const auto state = [&](const T* states, int64_t width, const void* first) {
            if (earlier >= 0) return load_some(states + earlier * width + unit, room);
            if (!first) return Vector<T>{};
            return load_some(static_cast<const T*>(first) + slice.rows[row] * hidden + unit, room);
        };
        const auto activation = [&](int gate) {
            return load_some(activations + at * gates + gate * hidden + unit, room);
        };
        const auto add_to_bias = [&](int gate, Vector<T> gradient) {
            T* sum = work.bias + gate * padded + unit;
            store(sum, load(sum) + gradient);
        };
        const auto give = [&](int gate, Vector<T> to_input, Vector<T> to_state) {
            const int64_t to = in_block * padded_gates + gate * hidden + unit;
            store_some(work.input_side + to, to_input, room);
            if (CELL == GRU) store_some(work.state_side + to, to_state, room);
            add_to_bias(gate, to_input);
        };
        const Vector<T> h_before = state(outputs, call.width, call.first_hidden);
        store_some(work.before + in_block * state_stride + unit, h_before, room);
        T* kept = work.hidden_gradient + row * padded + unit;
        Vector<T> dh = load(kept);
        if (output_gradient) dh += load_some(output_gradient + at * call.width + unit, room);
        if constexpr (CELL == TANH_RNN || CELL == RELU_RNN) {
            const Vector<T> h = load_some(outputs + at * call.width + unit, room);
            const Vector<T> slope =
                CELL == TANH_RNN ? T(1) - h * h : (h > T(0) ? splat<T>(1) : Vector<T>{});
            give(0, dh * slope, dh * slope);
            store(kept, Vector<T>{});
        } else if constexpr (CELL == LSTM) {
            const Vector<T> i = activation(0), f = activation(1);
            const Vector<T> g = activation(2), o = activation(3);
            const Vector<T> squashed =
                hyperbolic_tangent<T>(load_some(memory + at * hidden + unit, room));
            T* kept_cell = work.cell_gradient + row * padded + unit;
            const Vector<T> dc = load(kept_cell) + dh * o * (T(1) - squashed * squashed);
            const Vector<T> di = dc * g * i * (T(1) - i), dg = dc * i * (T(1) - g * g);
            const Vector<T> df = dc * state(memory, hidden, call.first_cell) * f * (T(1) - f);
            const Vector<T> d_o = dh * squashed * o * (T(1) - o);
            give(0, di, di);
            give(1, df, df);
            give(2, dg, dg);
            give(3, d_o, d_o);
            store(kept_cell, dc * f);
            store(kept, Vector<T>{});
        } else {
            const Vector<T> r = activation(0), z = activation(1), n = activation(2);
            const Vector<T> hn = load_some(memory + at * hidden + unit, room);
            const Vector<T> dn = dh * (T(1) - z) * (T(1) - n * n);
            const Vector<T> dr = dn * hn * r * (T(1) - r);
            const Vector<T> dz = dh * (h_before - n) * z * (T(1) - z);
            give(0, dr, dr);
            give(1, dz, dz);
            give(2, dn, dn * r);
            add_to_bias(3, dn * r);
            store(kept, dh * z);
        }
    }

    // What the slices have added up, together: some rows of a group's gradients.
    int64_t tiles() const { return (gates + TILE - 1) / TILE; }

    void add_up(const std::vector<Slice>& slices, const T* parts, int64_t index) const {
        const int64_t group = index / tiles(), from = index % tiles() * TILE;
        const int64_t rows = std::min(TILE, gates - from), first = group * gates + from;
        const auto clear = [&](void* gradient, int64_t width) {
            std::memset(static_cast<T*>(gradient) + first * width, 0, rows * width * sizeof(T));
        };
        clear(call.input_weight_gradient, features);
        clear(call.weight_gradient, hidden);
        clear(call.input_bias_gradient, 1);
        clear(call.hidden_bias_gradient, 1);
        for (size_t s = 0; s < slices.size(); ++s) {
            if (slices[s].group != group) continue;
            const T* part = parts + s * sums_size;
            add_transposed(call.input_weight_gradient, first, rows, features, part + from);
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

// ------------------------------------------------------------------------------ dispatch

template <typename Pass, typename Body>
void in_parallel(const Call& call, Pass& pass, const std::vector<Slice>& slices, const Body& body) {
    const int64_t packs = call.groups * pass.panels, parts = int64_t(slices.size());
    const int threads = int(std::min<int64_t>(call.threads, parts));
    if (threads <= 1) {
        for (int64_t i = 0; i < packs; ++i) pass.pack(i);
        for (int64_t i = 0; i < parts; ++i) body(i);
        return;
    }
    std::atomic<bool> has_failed{false};  // an exception must not leave a parallel region
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < packs; ++i) pass.pack(i);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < parts; ++i) try {
                body(i);
            } catch (...) {
                has_failed = true;
            }
    }
    if (has_failed) throw std::bad_alloc();
}

template <typename T, int CELL> void forward(const Call& call) {
    Forward<T, CELL> pass{call};
    const std::vector<Slice> slices = slices_of(call);
    in_parallel(call, pass, slices, [&](int64_t i) { pass.run(slices[i]); });
}

template <typename T, int CELL> void backward(const Call& call) {
    Backward<T, CELL> pass{call};
    const std::vector<Slice> slices = slices_of(call);
    Buffer<T> sums(slices.size() * pass.sums_size);
    in_parallel(call, pass, slices,
                [&](int64_t i) { pass.run(slices[i], sums + i * pass.sums_size); });
    const int64_t tiles = call.groups * pass.tiles();
    // Few numbers are added before other threads have woken.
    const int threads = int64_t(slices.size()) * pass.sums_size < 1 << 18 ? 1 : int(call.threads);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < tiles; ++i) pass.add_up(slices, sums, i);
}

// What an exception must not do is leave a C function.
template <typename Work> int guarded(const Work& work) {
    try {
        work();
        return 0;
    } catch (...) {
        return 1;
    }
}

}  // namespace

#define DISPATCH(NAME, TYPE)                                            \
    switch (call->cell) {                                               \
        case TANH_RNN: NAME<TYPE, TANH_RNN>(*call); break;              \
        case RELU_RNN: NAME<TYPE, RELU_RNN>(*call); break;              \
        case LSTM: NAME<TYPE, LSTM>(*call); break;                      \
        default: NAME<TYPE, GRU>(*call);                                \
    }

extern "C" {
int forward_float32(const Call* call) { return guarded([=] { DISPATCH(forward, float) }); }
int forward_float64(const Call* call) { return guarded([=] { DISPATCH(forward, double) }); }
int backward_float32(const Call* call) { return guarded([=] { DISPATCH(backward, float) }); }
int backward_float64(const Call* call) { return guarded([=] { DISPATCH(backward, double) }); }
int call_size() { return sizeof(Call); }
}
