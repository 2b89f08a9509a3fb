// The recurrences of RNN, LSTM and GRU over whole sequences, forward and backward, on a CPU.
//
// Rows of a batch do not depend on each other, so each thread takes some of them through all steps
// and waits for nobody. Weights are rearranged once a call, so that the inner loop reads them in
// order: for a panel of units, along the inputs or the state, the weights of all gates. What does
// not depend on the step before, products with inputs and the gradients of inputs and weights, is
// done for the rows of a block of steps at a time, while they are in the cache.
//
// This file has the functions that are called. The headers are its parts, included nowhere else:
// call.h what is asked, vectors.h and products.h the arithmetic, forward.h and backward.h the two
// passes, threads.h who does them. Plain C++17 with the vector extensions of GCC and Clang; no
// headers of any library.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "backward.h"
#include "call.h"
#include "forward.h"
#include "products.h"
#include "threads.h"

namespace {

// The weights are rearranged by all threads; then each takes slices of its own.
template <typename Pass, typename Body>
void run_slices(const Call& call, Pass& pass, const std::vector<Slice>& slices, const Body& body) {
    const int64_t packs = call.groups * pass.panels, parts = int64_t(slices.size());
    in_parallel(std::min(call.threads, parts), [&](const Member& member) {
        member.share(packs, [&](int64_t i) { pass.pack(i); });
        member.wait_for_others();
        member.share(parts, body);
    });
}

template <typename T, int CELL> void forward(const Call& call) {
    Forward<T, CELL> pass{call};
    const std::vector<Slice> slices = slices_of(call);
    run_slices(call, pass, slices, [&](int64_t i) { pass.run(slices[i]); });
}

template <typename T, int CELL> void backward(const Call& call) {
    Backward<T, CELL> pass{call};
    const std::vector<Slice> slices = slices_of(call);
    Buffer<T> sums(slices.size() * pass.sums_size);
    run_slices(call, pass, slices,
               [&](int64_t i) { pass.run(slices[i], sums + i * pass.sums_size); });
    const int64_t tiles = call.groups * pass.tiles();
    // Few numbers are added before other threads have woken.
    const bool are_few = int64_t(slices.size()) * pass.sums_size < 1 << 18;
    in_parallel(are_few ? 1 : call.threads, [&](const Member& member) {
        member.share(tiles, [&](int64_t i) { pass.add_up(slices, sums, i); });
    });
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
