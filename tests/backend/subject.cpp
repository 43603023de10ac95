#include "backend/subject.h"

#include <cstdio>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace quarot::backend_test {

using namespace kernels;

std::vector<Subject> fast_backends() {
    std::vector<Subject> subjects;
    for (const std::string& isa : compiled_isa_tiers()) {
        try {
            make_backend("cpu", {.n_threads = 1, .isa = isa});
            subjects.push_back({"cpu", isa});
        } catch (const Error& error) {
            if (error.code() != ErrorCode::Device) throw;  // this machine lacks the instructions
            std::fprintf(stderr, "SKIPPED: tier %s of the cpu backend cannot run on this machine\n",
                         isa.c_str());
        }
    }
    if (!gpus().empty()) subjects.push_back({"cuda", ""});
    return subjects;
}

std::vector<Subject> all_backends() {
    std::vector<Subject> subjects = fast_backends();
    subjects.insert(subjects.begin(), {"reference", ""});
    return subjects;
}

std::unique_ptr<Backend> make(const Subject& subject, int n_threads) {
    return make_backend(subject.backend,
                        {.n_threads = n_threads, .isa = subject.isa, .work = DType::F32});
}

std::unique_ptr<Backend> make_reference(int n_threads) {
    return make_backend("reference", {.n_threads = n_threads, .isa = ""});
}

void* Bench::place(const void* host, int64_t bytes) {
    buffers_.push_back(backend.allocate(bytes));
    backend.upload(buffers_.back().data(), host, bytes);
    return buffers_.back().data();
}

Rows Bench::upload(const Matrix& matrix, int64_t padding) {
    const int64_t stride = matrix.cols + padding;
    std::vector<float> padded(static_cast<size_t>(matrix.rows * stride),
                              std::numeric_limits<float>::quiet_NaN());
    for (int64_t r = 0; r < matrix.rows; ++r) {
        std::copy_n(matrix.row(r), matrix.cols, padded.begin() + r * stride);
    }
    return {place(padded.data(), matrix.rows * stride * 4), DType::F32, matrix.rows, matrix.cols,
            stride};
}

Rows Bench::blank(int64_t rows, int64_t cols, int64_t padding) {
    Matrix matrix(rows, cols);
    for (float& value : matrix.values) value = std::numeric_limits<float>::quiet_NaN();
    return upload(matrix, padding);
}

QuantizedRows Bench::blank_codes(int64_t rows, int64_t cols, const ActivationFormat& format) {
    const int64_t bytes = backend.quantized_bytes(rows, cols, format);
    const std::vector<uint8_t> filler(static_cast<size_t>(bytes), 0xab);
    QuantizedRows out = backend.place_quantized(place(filler.data(), bytes), rows, cols, format);
    if (format.first_positions == 0) return out;
    std::vector<int32_t> positions(static_cast<size_t>(rows));
    std::iota(positions.begin(), positions.end(), 0);
    out.positions = upload(positions);
    return out;
}

QuantizedRows Bench::quantize(const Matrix& matrix, const ActivationFormat& format) {
    const QuantizedRows out = blank_codes(matrix.rows, matrix.cols, format);
    backend.quantize(upload(matrix), out, {});
    return out;
}

SiteNote Bench::note(Site site, int64_t n) {
    const std::vector<Site> none(static_cast<size_t>(n), kNoSite);
    return {site, static_cast<Site*>(place(none.data(), n * int64_t{sizeof(Site)}))};
}

Matrix Bench::download(const Rows& rows) {
    backend.synchronize();
    Matrix matrix(rows.rows, rows.cols);
    for (int64_t r = 0; r < rows.rows; ++r) {
        backend.download(matrix.row(r), rows.f32(r), rows.cols * 4);
    }
    backend.synchronize();
    return matrix;
}

}  // namespace quarot::backend_test
