// What only the cpu backend promises: its exponential, its tiers, the reach of its integer sums,
// and what it refuses.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "kernels/cpu/cpu_linear.h"
#include "kernels/cpu/present_tiers_for_tests.h"
#include "linalg/mixer.h"

namespace quarot::kernels {
namespace {

template <typename Call>
ErrorCode code_of(const Call& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "no error";
    return ErrorCode::Internal;
}

std::vector<float> normal_values(int64_t n, uint32_t seed) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) value = normal(rng);
    return values;
}

Rows as_rows(std::vector<float>& values, int64_t rows, int64_t cols) {
    return {values.data(), DType::F32, rows, cols, cols};
}

double ulps_between(float value, double exact) {
    const auto near = static_cast<float>(exact);
    const double ulp = static_cast<double>(std::nextafter(near, 2 * near)) - near;
    return std::fabs(value - exact) / ulp;
}

TEST(CpuExp, IsWithinTwoUlpOverTheNormalRange) {
    std::vector<float> x;
    for (float v = -87.3f; v < 88.3f; v += 0.00137f) x.push_back(v);
    std::vector<float> y(x.size());
    for (const std::string& tier : present_tiers()) {
        cpu::choose_kernels(tier).exp_row(x.data(), static_cast<int64_t>(x.size()), y.data());
        double worst = 0;
        for (size_t i = 0; i < x.size(); ++i) {
            worst = std::max(worst, ulps_between(y[i], std::exp(static_cast<double>(x[i]))));
        }
        EXPECT_LE(worst, 2.0) << tier;
    }
}

TEST(CpuExp, IsExactAtZeroAndKeepsNaN) {
    const float x[] = {0.0f, -std::numeric_limits<float>::infinity(),
                       std::numeric_limits<float>::quiet_NaN()};
    for (const std::string& tier : present_tiers()) {
        float y[3];
        cpu::choose_kernels(tier).exp_row(x, 3, y);
        EXPECT_EQ(y[0], 1.0f) << tier;
        EXPECT_LT(y[1], 2e-38f) << tier;
        EXPECT_TRUE(std::isnan(y[2])) << tier;
    }
}

// Two positions, the first of the higher score and with a value of 0: what the second one adds.
float weight_at_distance(const cpu::IsaKernels& isa, float distance) {
    std::vector<float> keys(16, 0.0f), values(16 * 16, 0.0f), scores(8 * 16), zeros(16);
    keys[1] = -distance;
    values[16] = 1.0f;
    float q = 1.0f, q_sum = 1.0f, maximum = -std::numeric_limits<float>::infinity();
    std::vector<float> sums(16, 0.0f), out(16, 0.0f);
    const cpu::AttentionRows rows{&q, &q_sum, &maximum, sums.data(), out.data(), 1, 1, 16};
    const int32_t limit = 2;
    isa.attend_page(rows,
                    {.k = {keys.data(), nullptr, nullptr, 1, 16, 16},
                     .v = {values.data(), nullptr, nullptr, 16, 16, 16},
                     .below_keys = nullptr,
                     .starts = nullptr,
                     .score_cap = 0.0f,
                     .scores = scores.data(),
                     .keys = nullptr,
                     .values = nullptr,
                     .zeros = zeros.data()},
                    &limit);
    return out[0];
}

TEST(CpuAttention, WeightsThatNoSumHoldsAreZeroAndNoOthers) {
    for (const std::string& tier : present_tiers()) {
        const cpu::IsaKernels& isa = cpu::choose_kernels(tier);
        EXPECT_NEAR(weight_at_distance(isa, 63.0f) / std::exp(-63.0), 1.0, 1e-6) << tier;
        EXPECT_EQ(weight_at_distance(isa, 65.0f), 0.0f) << tier;
        EXPECT_TRUE(std::isnan(weight_at_distance(isa, std::nanf("")))) << tier;
    }
}

TEST(CpuTiers, BestIsPresentAndScalarIsAlwaysBuilt) {
    EXPECT_EQ(compiled_isa_tiers().front(), "scalar");
    EXPECT_EQ(make_backend("cpu", {})->info().tier, best_isa_tier());
    EXPECT_EQ(make_backend("cpu", {.n_threads = 1, .isa = "scalar"})->info().tier, "scalar");
}

TEST(CpuTiers, UnknownIsUsageAndNotBuiltIsDevice) {
    const auto make = [](const char* isa) { make_backend("cpu", {.n_threads = 1, .isa = isa}); };
    EXPECT_EQ(code_of([&] { make("sse9"); }), ErrorCode::Usage);
    EXPECT_EQ(code_of([&] { make("avxvnni"); }), ErrorCode::Device);
}

// Norm, SwiGLU, transforms and a dense product of one backend, one after another.
std::vector<float> float_results(Backend& backend) {
    constexpr int64_t kRows = 9, kCols = 1536, kOut = 70;
    std::vector<float> x = normal_values(kRows * kCols, 1), gate = normal_values(kRows * kCols, 2);
    backend.norm({.in = as_rows(x, kRows, kCols), .out = as_rows(x, kRows, kCols)});
    backend.activate({.gate = as_rows(gate, kRows, kCols),
                      .up = as_rows(x, kRows, kCols),
                      .out = as_rows(x, kRows, kCols)});
    for (const auto& [n, inner] : {std::pair<int64_t, int64_t>{1536, 1}, {512, 1}, {8, 64}}) {
        const auto transform = backend.prepare_transform(linalg::make_mixer(n), inner);
        backend.transform(*transform, as_rows(x, kRows, kCols));
    }
    auto matrix = std::make_shared<Tensor>(DType::F32, Shape{kOut, kCols});
    const std::vector<float> w = normal_values(kOut * kCols, 3);
    std::memcpy(matrix->data(), w.data(), w.size() * sizeof(float));
    LinearWeights weights;
    weights.matrix = std::shared_ptr<const Tensor>(matrix);
    const auto linear = backend.prepare_linear(std::move(weights));
    std::vector<float> y(kRows * kOut);
    const Operand in{as_rows(x, kRows, kCols)};
    backend.linear({.in = in, .weight = *linear, .out = as_rows(y, kRows, kOut)});
    x.insert(x.end(), y.begin(), y.end());
    return x;
}

TEST(CpuTiers, AllGiveTheSameBits) {
    std::vector<float> first;
    for (const std::string& tier : present_tiers()) {
        const auto backend = make_backend("cpu", {.n_threads = 2, .isa = tier});
        const std::vector<float> results = float_results(*backend);
        if (first.empty()) first = results;
        EXPECT_EQ(std::memcmp(first.data(), results.data(), first.size() * sizeof(float)), 0)
            << tier;
    }
}

// All codes at their ends: the largest sums the kernels form on the way.
TEST(CpuLinear, SumsHoldAtTheLargestWidth) {
    constexpr int64_t kInputs = 65'000;
    for (const std::string& tier : present_tiers()) {
        const auto backend = make_backend("cpu", {.n_threads = 1, .isa = tier});
        for (const int bits : {4, 8}) {
            QuantizedMatrix matrix = make_quantized_matrix(1, kInputs, bits, 0, true);
            const int largest = (1 << bits) - 1;
            matrix.pack_row(0, std::vector<uint8_t>(kInputs, static_cast<uint8_t>(largest)));
            matrix.scales.as<float>()[0] = 1.0f;
            LinearWeights weights;
            weights.matrix = std::move(matrix);
            const auto linear = backend->prepare_linear(std::move(weights));
            for (const int64_t rows : {1, 2}) {
                const ActivationFormat format{.bits = 8};
                const Buffer memory =
                    backend->allocate(backend->quantized_bytes(rows, kInputs, format));
                QuantizedRows in = backend->place_quantized(memory.data(), rows, kInputs, format);
                for (int64_t r = 0; r < rows; ++r) {
                    std::memset(in.row_codes(r), 0, static_cast<size_t>(in.stride));
                    std::memset(in.row_codes(r), -128, kInputs);
                    in.scales[r] = 1.0f;
                    in.row_sums[r] = -128 * kInputs;
                }
                std::vector<float> y(static_cast<size_t>(rows));
                const Operand operand{in};
                backend->linear({.in = operand, .weight = *linear, .out = as_rows(y, rows, 1)});
                const int64_t q = largest / 2;  // 7 or 127
                EXPECT_EQ(y.back(), static_cast<float>(-128 * q * kInputs)) << tier << " " << bits;
            }
        }
    }
}

TEST(CpuLinear, RefusesTooManyInputs) {
    const auto backend = make_backend("cpu", {});
    LinearWeights weights;
    weights.matrix = make_quantized_matrix(1, 65'001, 4, 0, true);
    EXPECT_EQ(code_of([&] { backend->prepare_linear(std::move(weights)); }),
              ErrorCode::Unsupported);
}

TEST(CpuKvStore, RefusesGroupsInsideAHeadAndExemptPositions) {
    const auto backend = make_backend("cpu", {});
    KvDescriptor grouped{.n_layers = 1, .n_kv_heads = 1, .head_dim = 64};
    grouped.k = {.bits = 4, .group_size = 32};
    EXPECT_EQ(code_of([&] { backend->make_kv_store(grouped, 1); }), ErrorCode::Unsupported);
    KvDescriptor exempt{.n_layers = 1, .n_kv_heads = 1, .head_dim = 64};
    exempt.v = {.bits = 4, .exempt_positions = 4};
    EXPECT_EQ(code_of([&] { backend->make_kv_store(exempt, 1); }), ErrorCode::Unsupported);
}

TEST(CpuLinear, TakesTheBytesThatAreToldBefore) {
    const auto backend = make_backend("cpu", {.n_threads = 1, .isa = ""});
    const auto told_and_taken = [&](const CodesForm& form) {
        LinearWeights weights;
        weights.matrix =
            make_quantized_matrix(form.rows, form.cols, form.bits, form.group_size, form.symmetric);
        weights.activation_group = form.activation_group;
        const auto linear = backend->prepare_linear(std::move(weights));
        return std::pair(backend->codes_bytes(form), cpu::as_cpu(*linear).bytes());
    };
    for (const int bits : {3, 4, 5, 8}) {
        for (const int64_t group : {0, 32, 64}) {
            for (const int64_t activation_group : {0, 64, 96}) {
                for (const bool symmetric : {true, false}) {
                    const auto [told, taken] =
                        told_and_taken({70, 192, bits, group, symmetric, activation_group});
                    EXPECT_EQ(told, taken)
                        << bits << " " << group << " " << activation_group << " " << symmetric;
                }
            }
        }
    }
    EXPECT_EQ(backend->codes_bytes({32, 64, 4, 64, false, 64}), 32 * (32 + 4 + 4 + 4))
        << "codes, a scale, a zero point and a sum";
    EXPECT_EQ(backend->codes_bytes({32, 64, 4, 64, false, 32}), 32 * (32 + 4 + 4 + 8));
}

}  // namespace
}  // namespace quarot::kernels
