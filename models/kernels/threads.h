// Threads of the OpenMP that PyTorch has loaded.
//
// They are asked for by name: of pragmas GCC and Clang make calls of two different libraries, of
// which one is not there, and whose threads would wait for each other if both were. The names are
// those of GCC's library; LLVM's and Intel's answer to them too.

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
struct Member {
    int64_t number, threads;

    // Does its part of the work(i) for 0 <= i < count.
    template <typename Work> void share(int64_t count, const Work& work) const {
        const int64_t end = count * (number + 1) / threads;
        for (int64_t i = count * number / threads; i < end; ++i) work(i);
    }

    void wait_for_others() const {
        if (threads > 1) GOMP_barrier();
    }
};

// Compiled once for both of its callers, who differ in nothing else.
template <typename Body>
__attribute__((noinline)) void run_member(const Body& body, Member member) {
    body(member);
}

// Runs a body on up to so many threads. It may throw, but not where others will wait for it.
template <typename Body> void in_parallel(int64_t threads, const Body& body) {
    if (threads <= 1) return run_member(body, {0, 1});
    struct Shared {
        const Body& body;
        std::atomic<bool> has_failed;  // an exception must not leave the thread it was thrown in
    } shared{body, {false}};
    const auto run = [](void* data) {
        Shared& shared = *static_cast<Shared*>(data);
        try {
            run_member(shared.body, {omp_get_thread_num(), omp_get_num_threads()});
        } catch (...) {
            shared.has_failed = true;
        }
    };
    GOMP_parallel(run, &shared, unsigned(threads), 0);
    if (shared.has_failed) throw std::bad_alloc();
}

}  // namespace
