// The recurrences of RNN, LSTM, GRU and the region cell, and diagonal ones (scan.h), over whole
// sequences, forward and backward, on a CPU.
//
// Each thread runs some rows of a batch through all steps without waiting for others. Weights are
// rearranged into panels once per call, so that the inner loop reads them in order. Products that do
// not depend on the previous step are computed for a block of steps at a time.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "backward.h"
#include "call.h"
#include "forward.h"
#include "products.h"
#include "scan.h"
#include "selective.h"
#include "threads.h"

namespace {

// All threads rearrange the weights; then each runs its own slices.
template <typename Pass, typename Body>
void run_slices(const Call& call, Pass& pass, const std::vector<Slice>& slices, const Body& body) {
    const int64_t packs = call.groups * pass.panels, parts = int64_t(slices.size());
    in_parallel(std::min(call.threads, parts), [&](const Worker& worker) {
        worker.share(packs, [&](int64_t i) { pass.pack(i); });
        worker.wait();
        worker.share(parts, body);
    });
}

template <typename T, int CELL> void forward(const Call& call) {
    Forward<T, CELL> pass{call};
    const std::vector<Slice> slices = make_slices(call);
    run_slices(call, pass, slices, [&](int64_t i) { pass.run(slices[i]); });
}

template <typename T, int CELL> void backward(const Call& call) {
    Backward<T, CELL> pass{call};
    const std::vector<Slice> slices = make_slices(call);
    Buffer<T> sums(slices.size() * pass.sums_size);
    run_slices(call, pass, slices,
               [&](int64_t i) { pass.run(slices[i], sums + i * pass.sums_size); });
    const int64_t tiles = call.groups * pass.tiles();
    // One thread adds few numbers in less time than it takes to wake others.
    const bool is_small = int64_t(slices.size()) * pass.sums_size < 1 << 18;
    in_parallel(is_small ? 1 : call.threads, [&](const Worker& worker) {
        worker.share(tiles, [&](int64_t i) { pass.reduce(slices, sums, i); });
    });
}

// An exception must not leave a C function.
template <typename Work> int catch_all(const Work& work) {
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
        case GRU: NAME<TYPE, GRU>(*call); break;                        \
        case REGION: NAME<TYPE, REGION>(*call); break;                  \
        default: NAME<TYPE, SLSTM>(*call);                              \
    }

#define DISPATCH_SCAN(NAME, TYPE)                                                   \
    switch (call->cell) {                                                           \
        case REAL: NAME<TYPE, REAL>(*call); break;                                  \
        case COMPLEX: NAME<TYPE, COMPLEX>(*call); break;                            \
        case MINGRU: NAME<TYPE, MINGRU>(*call); break;                              \
        case MINGRU_POSITIVE: NAME<TYPE, MINGRU_POSITIVE>(*call); break;            \
        case MINLSTM: NAME<TYPE, MINLSTM>(*call); break;                            \
        default: NAME<TYPE, MINLSTM_POSITIVE>(*call);                               \
    }

extern "C" {
int forward_float32(const Call* call) { return catch_all([=] { DISPATCH(forward, float) }); }
int forward_float64(const Call* call) { return catch_all([=] { DISPATCH(forward, double) }); }
int backward_float32(const Call* call) { return catch_all([=] { DISPATCH(backward, float) }); }
int backward_float64(const Call* call) { return catch_all([=] { DISPATCH(backward, double) }); }
int scan_forward_float32(const ScanCall* call) {
    return catch_all([=] { DISPATCH_SCAN(scan_forward, float) });
}
int scan_forward_float64(const ScanCall* call) {
    return catch_all([=] { DISPATCH_SCAN(scan_forward, double) });
}
int scan_backward_float32(const ScanCall* call) {
    return catch_all([=] { DISPATCH_SCAN(scan_backward, float) });
}
int scan_backward_float64(const ScanCall* call) {
    return catch_all([=] { DISPATCH_SCAN(scan_backward, double) });
}
int selective_forward_float32(const SelectiveCall* call) {
    return catch_all([=] { selective_forward<float>(*call); });
}
int selective_forward_float64(const SelectiveCall* call) {
    return catch_all([=] { selective_forward<double>(*call); });
}
int selective_backward_float32(const SelectiveCall* call) {
    return catch_all([=] { selective_backward<float>(*call); });
}
int selective_backward_float64(const SelectiveCall* call) {
    return catch_all([=] { selective_backward<double>(*call); });
}
int call_size() { return sizeof(Call); }
}
