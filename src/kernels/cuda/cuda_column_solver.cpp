#include "kernels/cuda/cuda_column_solver.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/checked_math.h"
#include "kernels/cuda/column_rounding.h"
#include "kernels/cuda/fp64_product.h"
#include "kernels/cuda/hessian_copy.h"
#include "kernels/cuda/hessian_factor.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

// U of the Hessian on the device, and the weight that is being solved, columns in fp64.
class CudaColumnSolver final : public ColumnSolver {
  public:
    CudaColumnSolver(Backend& backend, int ordinal, Stream stream)
        : backend_(backend), ordinal_(ordinal), stream_(stream) {}

    std::vector<double> factor(const DampedHessian& damped) override;
    void load(const SolverWeights& weights) override;
    void set_grids(int64_t group, std::span<const RowGrid> grids) override;
    std::vector<float> read(Columns columns) override;
    void round(Columns columns) override;
    void correct(Columns later, Columns rounded) override;
    std::vector<uint8_t> codes() override;

  private:
    // For every launch: the calling thread may have used another GPU since.
    Stream stream() const {
        check(cudaSetDevice(ordinal_), "cudaSetDevice");
        return stream_;
    }
    void make_room(Buffer& buffer, int64_t bytes) {
        if (buffer.bytes() >= bytes) return;
        buffer = {};
        buffer = backend_.allocate(bytes);
    }
    template <typename T>
    void put(Buffer& to, std::span<const T> values) {
        const auto bytes = static_cast<int64_t>(values.size_bytes());
        make_room(to, bytes);
        backend_.upload(to.data(), values.data(), bytes);
    }
    template <typename T>
    void get(const Buffer& from, std::vector<T>& values) {
        backend_.download(values.data(), from.data(),
                          static_cast<int64_t>(values.size() * sizeof(T)));
        backend_.synchronize();
    }
    int32_t* clear_flag() {
        constexpr int32_t kClear = 0;
        put(flag_, std::span(&kClear, 1));
        return static_cast<int32_t*>(flag_.data());
    }
    bool is_flagged() {
        std::vector<int32_t> flag(1);
        get(flag_, flag);
        return flag.front() != 0;
    }
    double* u(int64_t row, int64_t column) const {
        return static_cast<double*>(factor_.data()) + row * n_ + column;
    }

    Backend& backend_;
    int ordinal_;
    Stream stream_;
    Buffer flag_;
    int64_t n_ = 0;
    Buffer factor_;  // [n, n] fp64
    WeightColumns columns_;
    Buffer values_, order_, codes_, scales_, lows_;
    int64_t n_codes_ = 0;
    int64_t group_width_ = 0;
    double top_ = 0.0;
};

std::vector<double> CudaColumnSolver::factor(const DampedHessian& damped) {
    const int64_t n = damped.hessian.n;
    QUAROT_CHECK(std::ssize(damped.order) == n && std::ssize(damped.diagonal) == n, "{}", n);
    n_ = n;
    Buffer new_diagonal;
    put(order_, damped.order);
    put(new_diagonal, damped.diagonal);
    make_room(factor_, n * n * static_cast<int64_t>(sizeof(double)));
    copy_damped(damped.hessian,
                {static_cast<const int32_t*>(order_.data()),
                 static_cast<const double*>(new_diagonal.data())},
                u(0, 0), stream());
    const Buffer workspace =
        backend_.allocate(factor_workspace(n) * static_cast<int64_t>(sizeof(double)));
    cuda::factor({.h = u(0, 0),
                  .n = n,
                  .workspace = static_cast<double*>(workspace.data()),
                  .failed = clear_flag()},
                 stream());
    if (is_flagged()) return {};
    return download_diagonal(u(0, 0), n, stream());
}

void CudaColumnSolver::load(const SolverWeights& weights) {
    const int64_t n_rows = weights.n_rows;
    QUAROT_CHECK(std::ssize(weights.rows) == n_rows * n_, "{} {}", weights.rows.size(), n_rows);
    QUAROT_CHECK(std::ssize(weights.order) == n_ && std::ssize(weights.dead) == n_);
    n_codes_ = weights.n_codes;
    group_width_ = weights.group_width;
    top_ = static_cast<double>((1 << weights.bits) - 1);
    Buffer rows, dead;
    put(rows, weights.rows);
    put(dead, weights.dead);
    put(order_, weights.order);
    const int64_t n_grids = std::max<int64_t>(1, ceil_div(n_codes_, group_width_)) * n_rows;
    make_room(values_, n_ * n_rows * static_cast<int64_t>(sizeof(double)));
    make_room(codes_, n_codes_ * n_rows);
    make_room(scales_, n_grids * static_cast<int64_t>(sizeof(float)));
    make_room(lows_, n_grids * static_cast<int64_t>(sizeof(float)));
    columns_ = {static_cast<double*>(values_.data()), n_, n_rows};
    clear_flag();
    load_columns(columns_, static_cast<const float*>(rows.data()),
                 static_cast<const int32_t*>(order_.data()),
                 static_cast<const uint8_t*>(dead.data()), stream());
    backend_.synchronize();  // before the rows go
}

void CudaColumnSolver::set_grids(int64_t group, std::span<const RowGrid> grids) {
    QUAROT_CHECK(std::ssize(grids) == columns_.n_rows, "{}", grids.size());
    std::vector<float> values(grids.size());
    const auto upload = [&](const Buffer& to, float RowGrid::*member) {
        std::transform(grids.begin(), grids.end(), values.begin(),
                       [&](const RowGrid& grid) { return grid.*member; });
        backend_.upload(static_cast<float*>(to.data()) + group * columns_.n_rows, values.data(),
                        std::ssize(values) * static_cast<int64_t>(sizeof(float)));
    };
    upload(scales_, &RowGrid::scale);
    upload(lows_, &RowGrid::low);
}

std::vector<float> CudaColumnSolver::read(Columns columns) {
    const int64_t width = columns.end - columns.begin;
    std::vector<float> values(static_cast<size_t>(columns_.n_rows * width));
    if (values.empty()) return values;
    const Buffer room = backend_.allocate(std::ssize(values) * static_cast<int64_t>(sizeof(float)));
    read_columns(columns_, columns.begin, width, static_cast<float*>(room.data()), stream());
    get(room, values);
    return values;
}

void CudaColumnSolver::round(Columns columns) {
    for (int64_t first = columns.begin; first < columns.end; first += kMostRounded) {
        const int64_t end = std::min(first + kMostRounded, columns.end);
        correct({first, end}, {columns.begin, first});
        round_columns({.columns = columns_,
                       .first = first,
                       .count = end - first,
                       .u = u(0, 0),
                       .order = static_cast<const int32_t*>(order_.data()),
                       .group_width = group_width_,
                       .scales = static_cast<const float*>(scales_.data()),
                       .lows = static_cast<const float*>(lows_.data()),
                       .top = top_,
                       .codes = static_cast<uint8_t*>(codes_.data()),
                       .n_codes = n_codes_,
                       .failed = static_cast<int32_t*>(flag_.data())},
                      stream());
    }
}

void CudaColumnSolver::correct(Columns later, Columns rounded) {
    if (later.begin == later.end || rounded.begin == rounded.end) return;
    multiply({.a = u(rounded.begin, later.begin),
              .a_stride = n_,
              .b = columns_.column(rounded.begin),
              .b_stride = columns_.n_rows,
              .c = columns_.column(later.begin),
              .c_stride = columns_.n_rows,
              .m = later.end - later.begin,
              .n = columns_.n_rows,
              .k = rounded.end - rounded.begin,
              .into = ProductInto::Subtract},
             stream());
}

std::vector<uint8_t> CudaColumnSolver::codes() {
    if (is_flagged()) return {};
    std::vector<uint8_t> codes(static_cast<size_t>(columns_.n_rows * n_codes_));
    get(codes_, codes);
    return codes;
}

}  // namespace

std::vector<double> download_diagonal(const double* matrix, int64_t n, Stream stream) {
    std::vector<double> diagonal(static_cast<size_t>(n));
    constexpr size_t kElement = sizeof(double);
    check(
        cudaMemcpy2DAsync(diagonal.data(), kElement, matrix, static_cast<size_t>(n + 1) * kElement,
                          kElement, diagonal.size(), cudaMemcpyDeviceToHost, stream),
        "cudaMemcpy2DAsync");
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    return diagonal;
}

std::unique_ptr<ColumnSolver> make_column_solver(Backend& backend, int ordinal, Stream stream) {
    return std::make_unique<CudaColumnSolver>(backend, ordinal, stream);
}

}  // namespace quarot::kernels::cuda
