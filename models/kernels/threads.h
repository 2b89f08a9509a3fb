// Threads of the OpenMP library that PyTorch has loaded.
//
// They are called by name: with pragmas, GCC and Clang would call two different libraries, one of
// which may be missing. LLVM's and Intel's libraries provide GCC's names too.

#pragma once

#include <atomic>
#include <cstdint>
#include <new>

extern "C" {
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier();
int omp_get_num_threads();
int omp_get_thread_num();
}

namespace {

// One of the threads that run the same body.
struct Worker {
    int64_t number, threads;

    // Run this thread's part of work(i) for 0 <= i < count.
    template <typename Work> void share(int64_t count, const Work& work) const {
        const int64_t end = count * (number + 1) / threads;
        for (int64_t i = count * number / threads; i < end; ++i) work(i);
    }

    void wait() const {
        if (threads > 1) GOMP_barrier();
    }
};

// Not inlined, so that both callers share the compiled code.
template <typename Body>
__attribute__((noinline)) void run_worker(const Body& body, Worker worker) {
    body(worker);
}

// Run a body on at most `threads` threads. It must not throw before a wait().
template <typename Body> void in_parallel(int64_t threads, const Body& body) {
    if (threads <= 1) return run_worker(body, {0, 1});
    struct Shared {
        const Body& body;
        std::atomic<bool> has_failed;  // an exception must not leave its thread
    } shared{body, {false}};
    const auto run = [](void* data) {
        Shared& shared = *static_cast<Shared*>(data);
        try {
            run_worker(shared.body, {omp_get_thread_num(), omp_get_num_threads()});
        } catch (...) {
            shared.has_failed = true;
        }
    };
    GOMP_parallel(run, &shared, unsigned(threads), 0);
    if (shared.has_failed) throw std::bad_alloc();
}

// Run body(row, worker) for all rows. They take turns, as neighbours in a batch have similar lengths.
template <typename Body> void for_rows(int64_t threads, int64_t rows, const Body& body) {
    in_parallel(threads, [&](const Worker& worker) {
        for (int64_t row = worker.number; row < rows; row += worker.threads) body(row, worker.number);
    });
}

}  // namespace
