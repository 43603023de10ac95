// Which backends are there to be tested, and the memory of one of them filled from host data.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "backend/cases.h"
#include "backend/test_data.h"
#include "core/error.h"
#include "kernels/backend.h"
#include "kernels/ops.h"

namespace quarot::backend_test {

struct Subject {
    std::string backend;
    std::string isa;  // empty: the backend has no tiers
    std::string name() const { return isa.empty() ? backend : backend + "_" + isa; }
};
inline std::ostream& operator<<(std::ostream& out, const Subject& s) {
    return out << s.name();
}

// Everything but reference, one entry per instruction set that is built in and runs here.
std::vector<Subject> fast_backends();
std::vector<Subject> all_backends();
std::unique_ptr<kernels::Backend> make(const Subject& subject, int n_threads = 1);
std::unique_ptr<kernels::Backend> make_reference(int n_threads = 1);

using Codes = kernels::HostCodes;

// A backend and the buffers a test has in it.
class Bench {
  public:
    explicit Bench(kernels::Backend& b) : backend(b) {}

    // `padding` elements follow every row.
    kernels::Rows upload(const Matrix& matrix, int64_t padding = 0);
    template <typename T>
    const T* upload(const std::vector<T>& values) {
        return static_cast<const T*>(
            place(values.data(), static_cast<int64_t>(values.size() * sizeof(T))));
    }
    // Filled with NaN: an operation that leaves an element out, or reads it, is seen.
    kernels::Rows blank(int64_t rows, int64_t cols, int64_t padding = 0);
    // Row r is at position r.
    kernels::QuantizedRows blank_codes(int64_t rows, int64_t cols,
                                       const kernels::ActivationFormat& format);
    kernels::QuantizedRows quantize(const Matrix& matrix, const kernels::ActivationFormat& format);

    // A note of `site` for n rows, none of them noted yet.
    kernels::SiteNote note(kernels::Site site, int64_t n);

    Matrix download(const kernels::Rows& rows);
    Codes download(const kernels::QuantizedRows& rows) { return backend.read_codes(rows); }
    template <typename T>
    std::vector<T> download(const T* from, int64_t n) {
        std::vector<T> values(static_cast<size_t>(n));
        backend.synchronize();
        backend.download(values.data(), from, n * static_cast<int64_t>(sizeof(T)));
        backend.synchronize();
        return values;
    }
    // What operations noted in the n rows of a note.
    std::vector<kernels::Site> sites(const kernels::SiteNote& note, int64_t n) {
        return download(note.lowest, n);
    }

    kernels::Backend& backend;

  private:
    void* place(const void* host, int64_t bytes);
    std::vector<kernels::Buffer> buffers_;
};

class FastBackend : public testing::TestWithParam<Subject> {
  protected:
    // What run() returns, or nothing if the subject refuses the form as kKnownRefusals has it;
    // counted, so that a test ends as skipped and not as passed.
    template <typename F>
    auto unless_unsupported(const F& run) -> std::optional<decltype(run())> {
        try {
            return run();
        } catch (const Error& error) {
            if (error.code() != ErrorCode::Unsupported || !is_known_refusal(error.what())) throw;
            ++n_unsupported_;
            why_unsupported_ = error.what();
            return std::nullopt;
        }
    }
    void TearDown() override {
        if (n_unsupported_ == 0 || HasFailure()) return;
        GTEST_SKIP() << n_unsupported_ << " cases left out, the last: " << why_unsupported_;
    }

    std::unique_ptr<kernels::Backend> reference_ = make_reference();
    std::unique_ptr<kernels::Backend> subject_ = make(GetParam());

  private:
    bool is_known_refusal(const std::string& message) const {
        return std::any_of(kKnownRefusals.begin(), kKnownRefusals.end(), [&](const Refusal& known) {
            return known.backend == GetParam().backend &&
                   message.find(known.words) != std::string::npos;
        });
    }

    int n_unsupported_ = 0;
    std::string why_unsupported_;
};

class AnyBackend : public testing::TestWithParam<Subject> {};

}  // namespace quarot::backend_test
