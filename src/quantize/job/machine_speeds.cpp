// Each operation is run on small made-up data until the clock can tell how long it takes.
#include "quantize/job/machine_speeds.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "io/hash.h"
#include "linalg/blas.h"
#include "model/role_formats.h"
#include "quantize/rounding/quantizer.h"
#include "quantize/rounding/rtn.h"

namespace quarot::quantize {
namespace {

constexpr double kProbeSeconds = 0.03;
constexpr int64_t kTokens = 256;
constexpr int64_t kWidth = 1024;

// How often a second `run` can be done.
template <typename Run>
double per_second(const Run& run) {
    using Clock = std::chrono::steady_clock;
    run();  // memory and threads are warm after
    const auto start = Clock::now();
    int64_t count = 0;
    std::chrono::duration<double> elapsed{};
    do {
        run();
        ++count;
        elapsed = Clock::now() - start;
    } while (elapsed.count() < kProbeSeconds);
    return static_cast<double>(count) / elapsed.count();
}

// Uneven values about 0, the same on every call.
template <typename T>
std::vector<T> made_up(int64_t n) {
    std::vector<T> values(static_cast<size_t>(n));
    uint32_t state = 1;
    for (T& value : values) {
        state = state * 1664525u + 1013904223u;
        value = static_cast<T>(state >> 8) / static_cast<T>(1 << 23) - T{1};
    }
    return values;
}

kernels::Rows rows_in(const kernels::Buffer& buffer, int64_t n, int64_t cols) {
    return {buffer.data(), DType::F32, n, cols, cols};
}

kernels::Buffer uploaded(const std::vector<float>& values, kernels::Backend& backend) {
    const int64_t bytes = std::ssize(values) * size_of(DType::F32);
    kernels::Buffer buffer = backend.allocate(bytes);
    backend.upload(buffer.data(), values.data(), bytes);
    return buffer;
}

double linear_flops(kernels::LinearWeights weights, kernels::Backend& backend) {
    const auto linear = backend.prepare_linear(std::move(weights));
    const kernels::Buffer in = uploaded(made_up<float>(kTokens * kWidth), backend);
    const kernels::Buffer out = backend.allocate(kTokens * kWidth * size_of(DType::F32));
    const kernels::Operand operand{rows_in(in, kTokens, kWidth)};
    const kernels::LinearArgs args{
        .in = operand, .weight = *linear, .out = rows_in(out, kTokens, kWidth)};
    return 2.0 * kTokens * kWidth * kWidth * per_second([&] {
               backend.linear(args);
               backend.synchronize();
           });
}

double gram_flops(kernels::Backend& backend) {
    const kernels::Buffer in = uploaded(made_up<float>(kTokens * kWidth), backend);
    const std::vector<float> zeros(static_cast<size_t>(2 * kWidth * kWidth));
    const kernels::Buffer sum = uploaded(zeros, backend);
    return 2.0 * kTokens * kWidth * kWidth * per_second([&] {
               backend.accumulate_gram(rows_in(in, kTokens, kWidth),
                                       static_cast<double*>(sum.data()));
               backend.synchronize();
           });
}

// Of the shape that GPTQ spends its time in: a tile of rows corrected by a block of columns.
double fp64_flops(ThreadPool& pool) {
    constexpr int64_t kRows = 64;
    constexpr int64_t kBlock = 128;
    const std::vector<double> a = made_up<double>(kBlock * kWidth);
    const std::vector<double> b = made_up<double>(kBlock * kRows);
    std::vector<std::vector<double>> c(static_cast<size_t>(pool.size()),
                                       std::vector<double>(kWidth * kRows));
    const double runs = per_second([&] {
        pool.parallel_for(pool.size(), [&](int64_t task, int) {
            linalg::subtract_product({.m = kWidth,
                                      .n = kRows,
                                      .k = kBlock,
                                      .a = a.data(),
                                      .a_stride = kWidth,
                                      .b = b.data(),
                                      .c = c[static_cast<size_t>(task)].data()});
        });
    });
    return 2.0 * kWidth * kRows * kBlock * pool.size() * runs;
}

double rotated_weights(rotate::Rotation rotation, const model::ModelConfig& config,
                       ThreadPool& pool) {
    if (rotation.residual_kind == ResidualRotation::Aligned) {  // any matrix takes as long
        rotate::set_residual(rotation, made_up<double>(config.hidden * config.hidden));
    }
    const int64_t n = rotate::kRotationRows * config.hidden;
    std::vector<std::vector<double>> pieces(static_cast<size_t>(pool.size()), made_up<double>(n));
    const double runs = per_second([&] {
        pool.parallel_for(pool.size(), [&](int64_t task, int) {
            rotate::rotate_input(rotation, model::Basis::Residual, config, {},
                                 pieces[static_cast<size_t>(task)], rotate::kRotationRows);
        });
    });
    return static_cast<double>(n * pool.size()) * runs;
}

double rounded_weights(const WeightFormat& format, ThreadPool& pool) {
    constexpr int64_t kRows = 8;
    const std::vector<float> values = made_up<float>(kRows * kWidth);
    const double runs = per_second([&] {
        pool.parallel_for(pool.size(), [&](int64_t, int) {
            const WeightMatrix weight{values, kRows, kWidth};
            squared_error(weight, quantize_rtn(weight, format));
        });
    });
    return static_cast<double>(kRows * kWidth * pool.size()) * runs;
}

// One whose groups, if it has any, divide the width of the probes.
WeightFormat probe_format(const Recipe& recipe) {
    WeightFormat format = recipe.weights;
    format.bits = std::min(weight_bits(recipe, model::LinearRole::Q),
                           weight_bits(recipe, model::LinearRole::Down));
    if (format.bits == 16) format.bits = 8;  // nothing to round: the figure is not used
    if (format.group_size != 0 && kWidth % format.group_size != 0) format.group_size = 64;
    return format;
}

}  // namespace

MachineSpeeds measure_speeds(const Recipe& recipe, const rotate::Rotation& rotation,
                             const model::ModelConfig& config, kernels::Backend& backend,
                             ThreadPool& pool) {
    const std::vector<float> values = made_up<float>(kWidth * kWidth);
    auto dense = std::make_shared<Tensor>(DType::F32, Shape{kWidth, kWidth});
    std::memcpy(dense->data(), values.data(), static_cast<size_t>(dense->bytes()));
    const WeightFormat format = probe_format(recipe);
    WeightFormat quick = format;
    quick.clip_search = false;
    const std::string text(size_t{1} << 20, 'x');
    MachineSpeeds speeds;
    speeds.coded_linear_flops =
        linear_flops({quantize_rtn({values, kWidth, kWidth}, quick), {}}, backend);
    speeds.float_linear_flops =
        linear_flops({std::shared_ptr<const Tensor>(std::move(dense)), {}}, backend);
    speeds.gram_flops = gram_flops(backend);
    speeds.fp64_flops = fp64_flops(pool);
    speeds.rotated_weights = rotated_weights(rotation, config, pool);
    speeds.rounded_weights = rounded_weights(format, pool);
    speeds.hashed_bytes =
        static_cast<double>(text.size()) * per_second([&] { io::sha256_of_text(text); });
    return speeds;
}

}  // namespace quarot::quantize
