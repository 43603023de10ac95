// A rotated network computes the same: W' (T_in x) = T_out (W diag(gain) x) for every role.
#include "rotate/rotation.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/expect_error.h"

namespace quarot::rotate {
namespace {

using model::Basis;
using model::ModelConfig;

// Dense row-major square matrix, the slow definition that the fast code is held against.
struct Dense {
    int64_t n = 0;
    std::vector<double> values;
    double& at(int64_t r, int64_t c) { return values[r * n + c]; }
    double at(int64_t r, int64_t c) const { return values[r * n + c]; }
};

Dense identity(int64_t n) {
    Dense m{n, std::vector<double>(n * n, 0.0)};
    for (int64_t i = 0; i < n; ++i) m.at(i, i) = 1.0;
    return m;
}

// The mixer by its definition in linalg/mixer.h.
Dense matrix_of(const linalg::Mixer& mixer) {
    if (mixer.kind == linalg::MixerKind::Identity) return identity(mixer.n);
    Dense m{mixer.n, std::vector<double>(mixer.n * mixer.n)};
    const int64_t s = mixer.sylvester_order();
    for (int64_t r = 0; r < mixer.n; ++r) {
        for (int64_t c = 0; c < mixer.n; ++c) {
            const double sign =
                std::popcount(static_cast<uint64_t>((r % s) & (c % s))) % 2 == 0 ? 1.0 : -1.0;
            m.at(r, c) = mixer.dense[(r / s) * mixer.dense_order + c / s] * sign /
                         std::sqrt(static_cast<double>(mixer.n));
        }
    }
    return m;
}

// a (x) b
Dense kronecker(const Dense& a, const Dense& b) {
    Dense m{a.n * b.n, std::vector<double>(a.n * b.n * a.n * b.n)};
    for (int64_t r = 0; r < m.n; ++r) {
        for (int64_t c = 0; c < m.n; ++c) {
            m.at(r, c) = a.at(r / b.n, c / b.n) * b.at(r % b.n, c % b.n);
        }
    }
    return m;
}

std::vector<double> times(const Dense& m, const std::vector<double>& x) {
    std::vector<double> y(m.n, 0.0);
    for (int64_t r = 0; r < m.n; ++r) {
        for (int64_t c = 0; c < m.n; ++c) y[r] += m.at(r, c) * x[c];
    }
    return y;
}

// T repeated along the diagonal up to `width`.
Dense repeated(const Dense& block, int64_t width) {
    return kronecker(identity(width / block.n), block);
}

// The basis change of a space as one dense matrix of the given width.
Dense basis_change(const Rotation& rotation, Basis basis, const ModelConfig& config,
                   int64_t width) {
    const Dense heads = repeated(
        rotation.head_dim ? matrix_of(*rotation.head_dim) : identity(config.head_dim), width);
    switch (basis) {
        case Basis::Plain:
            return identity(width);
        case Basis::Residual: {
            if (rotation.residual_kind == ResidualRotation::None) return identity(width);
            if (rotation.residual_kind == ResidualRotation::Random) {
                return repeated({rotation.residual_order, rotation.residual_dense}, width);
            }
            Dense t = repeated(matrix_of(*rotation.residual), width);
            for (int64_t r = 0; r < width; ++r) {
                for (int64_t c = 0; c < width; ++c) t.at(r, c) *= rotation.signs[c];
            }
            return t;
        }
        case Basis::ValueHeads:
            return heads;
        case Basis::MixedHeads: {
            if (!rotation.online.head_mix) return heads;
            const Dense mix =
                kronecker(matrix_of(*rotation.online.head_mix), identity(config.head_dim));
            Dense product{width, std::vector<double>(width * width, 0.0)};
            const Dense all = repeated(mix, width);
            for (int64_t r = 0; r < width; ++r) {
                for (int64_t k = 0; k < width; ++k) {
                    for (int64_t c = 0; c < width; ++c) {
                        product.at(r, c) += all.at(r, k) * heads.at(k, c);
                    }
                }
            }
            return product;
        }
        case Basis::Ffn:
            return rotation.online.ffn ? repeated(matrix_of(*rotation.online.ffn), width)
                                       : identity(width);
        case Basis::ExpertFfn:
            return rotation.online.expert_ffn
                       ? repeated(matrix_of(*rotation.online.expert_ffn), width)
                       : identity(width);
    }
    return identity(width);
}

ModelConfig config_with(int64_t hidden, int64_t ffn, int64_t heads, int64_t kv_heads,
                        int64_t head_dim) {
    ModelConfig config;
    config.hidden = hidden;
    config.ffn = ffn;
    config.n_layers = 1;
    config.n_heads = heads;
    config.n_kv_heads = kv_heads;
    config.head_dim = head_dim;
    config.vocab = 70;
    return config;
}

RotationSpec everything(ResidualRotation residual = ResidualRotation::Hadamard) {
    RotationSpec spec;
    spec.residual = residual;
    spec.value_heads = spec.head_mix = spec.query_key = spec.ffn = spec.fold_norms = true;
    spec.seed = 3;
    return spec;
}

std::vector<double> random_values(int64_t n, uint32_t seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    std::vector<double> values(n);
    for (double& value : values) value = normal(engine);
    return values;
}

std::vector<double> product(const std::vector<double>& w, const std::vector<double>& x) {
    std::vector<double> y(w.size() / x.size(), 0.0);
    for (size_t r = 0; r < y.size(); ++r) {
        for (size_t c = 0; c < x.size(); ++c) y[r] += w[r * x.size() + c] * x[c];
    }
    return y;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    EXPECT_EQ(a.size(), b.size());
    double largest = 0.0;
    for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::fabs(a[i] - b[i]));
    return largest;
}

// |W' (T_in x) - T_out (W diag(gain) x + b)| with b' = T_out b, for one role on random data.
double invariance_error(const model::RoleRule& rule, const Rotation& rotation,
                        const ModelConfig& config) {
    const int64_t out = model::out_features(rule.role, config);
    const int64_t in = model::in_features(rule.role, config);
    const std::vector<double> w = random_values(out * in, 1);
    const std::vector<double> x = random_values(in, 2);
    const std::vector<double> gain = random_values(in, 4);
    const std::vector<double> bias = random_values(out, 5);

    std::vector<double> scaled = x;
    for (int64_t i = 0; i < in; ++i) scaled[i] *= gain[i];
    std::vector<double> plain = product(w, scaled);
    for (int64_t i = 0; i < out; ++i) plain[i] += bias[i];
    const std::vector<double> expected =
        times(basis_change(rotation, rule.output, config, out), plain);

    std::vector<double> rotated = w;
    rotate_input(rotation, rule.input, config, gain, rotated, out);
    rotate_output(rotation, rule.output, config, rotated, in);
    std::vector<double> rotated_bias = bias;
    rotate_output(rotation, rule.output, config, rotated_bias, 1);
    std::vector<double> actual =
        product(rotated, times(basis_change(rotation, rule.input, config, in), x));
    for (int64_t i = 0; i < out; ++i) actual[i] += rotated_bias[i];
    return largest_difference(actual, expected);
}

struct Case {
    std::string name;
    ModelConfig config;
    RotationSpec spec;
};

RotationSpec with_blocks(RotationSpec spec, int64_t residual, int64_t heads, int64_t ffn) {
    spec.residual_block = residual;
    spec.heads_block = heads;
    spec.ffn_block = ffn;
    return spec;
}

std::vector<Case> cases() {
    RotationSpec no_residual = everything(ResidualRotation::None);
    RotationSpec folding_only;
    folding_only.fold_norms = true;
    return {
        {"PowersOfTwo", config_with(64, 128, 4, 2, 16), everything()},
        {"Order12", config_with(48, 96, 12, 4, 8), everything()},
        {"Order36AndSevenHeads", config_with(72, 144, 7, 7, 12), everything()},
        {"Order172", config_with(172, 172, 2, 1, 12), everything()},
        {"HartleyWidth", config_with(56, 14, 2, 2, 28), everything()},
        {"RandomResidual", config_with(56, 96, 4, 2, 12), everything(ResidualRotation::Random)},
        {"NoResidual", config_with(40, 60, 4, 2, 20), no_residual},
        {"FoldingOnly", config_with(40, 60, 4, 2, 20), folding_only},
        {"Blocks", config_with(48, 96, 8, 4, 4), with_blocks(everything(), 12, 4, 24)},
        {"RandomBlocks", config_with(48, 96, 8, 4, 4),
         with_blocks(everything(ResidualRotation::Random), 12, 2, 12)},
    };
}

class RotationCase : public testing::TestWithParam<Case> {};

TEST_P(RotationCase, EveryRoleComputesTheSameInTheNewBasis) {
    const auto& [name, config, spec] = GetParam();
    const Rotation rotation = make_rotation(spec, config);
    for (const auto& rule : model::kRoleRules) {
        EXPECT_LT(invariance_error(rule, rotation, config), 1e-10) << rule.name;
    }
}

// Rows of the embedding are outputs into the residual stream: E' = E T^T.
TEST_P(RotationCase, EmbeddingRowsBecomeRotatedVectors) {
    const auto& [name, config, spec] = GetParam();
    const Rotation rotation = make_rotation(spec, config);
    const std::vector<double> row = random_values(config.hidden, 8);
    std::vector<double> rotated = row;
    rotate_input(rotation, Basis::Residual, config, {}, rotated, 1);
    const Dense t = basis_change(rotation, Basis::Residual, config, config.hidden);
    EXPECT_LT(largest_difference(rotated, times(t, row)), 1e-12);
}

TEST_P(RotationCase, PiecesGiveTheBitsOfTheWhole) {
    const auto& [name, config, spec] = GetParam();
    const Rotation rotation = make_rotation(spec, config);
    const int64_t rows = 2 * kRotationRows + 5;
    std::vector<double> whole = random_values(rows * config.hidden, 6);
    std::vector<double> pieces = whole;
    rotate_input(rotation, Basis::Residual, config, {}, whole, rows);
    const auto piece = std::span(pieces);
    const int64_t cut = kRotationRows * config.hidden;
    rotate_input(rotation, Basis::Residual, config, {}, piece.first(cut), kRotationRows);
    rotate_input(rotation, Basis::Residual, config, {}, piece.subspan(cut), rows - kRotationRows);
    EXPECT_EQ(whole, pieces);
}

std::string case_name(const testing::TestParamInfo<Case>& test) {
    return test.param.name;
}

INSTANTIATE_TEST_SUITE_P(Shapes, RotationCase, testing::ValuesIn(cases()), case_name);

TEST(Rotation, ResidualMatrixIsSignsTimesTransposedHadamard) {
    const ModelConfig config = config_with(12, 12, 1, 1, 4);
    const Rotation rotation = make_rotation(everything(), config);
    const linalg::Mixer mixer = linalg::make_mixer(12);
    for (int64_t i = 0; i < 12; ++i) {
        std::vector<double> unit(12, 0.0);
        unit[i] = 1.0;
        rotate_input(rotation, Basis::Residual, config, {}, unit, 1);  // row i of Q
        for (int64_t j = 0; j < 12; ++j) {
            const double q = rotation.signs[i] * mixer.dense[j * 12 + i] / std::sqrt(12.0);
            EXPECT_NEAR(unit[j], q, 1e-15) << i << "," << j;
        }
    }
}

// The invariance above is no accident of symmetric matrices: with a transposed pair it fails.
TEST(Rotation, TransposedTransformOfANonSymmetricOrderIsSeen) {
    for (const int64_t ffn : {12, 172}) {
        const ModelConfig config = config_with(8, ffn, 1, 1, 8);
        const Rotation rotation = make_rotation(everything(), config);
        const std::vector<double> w = random_values(8 * ffn, 1);
        const std::vector<double> x = random_values(ffn, 2);
        std::vector<double> rotated = w;
        rotate_input(rotation, Basis::Ffn, config, {}, rotated, 8);
        std::vector<double> right = x;
        linalg::apply(*rotation.online.ffn, right);
        std::vector<double> wrong = x;
        linalg::apply(*rotation.online.ffn, wrong, true);
        EXPECT_LT(largest_difference(product(rotated, right), product(w, x)), 1e-10) << ffn;
        EXPECT_GT(largest_difference(product(rotated, wrong), product(w, x)), 0.1) << ffn;
    }
}

TEST(Rotation, RandomResidualIsOrthogonal) {
    const ModelConfig config = config_with(20, 12, 1, 1, 4);
    const Rotation rotation = make_rotation(everything(ResidualRotation::Random), config);
    const Dense t{20, rotation.residual_dense};
    for (int64_t r = 0; r < 20; ++r) {
        for (int64_t s = 0; s < 20; ++s) {
            double dot = 0.0;
            for (int64_t c = 0; c < 20; ++c) dot += t.at(r, c) * t.at(s, c);
            EXPECT_NEAR(dot, r == s ? 1.0 : 0.0, 1e-12);
        }
    }
}

TEST(Rotation, ChangesSaysWhatIsTheIdentity) {
    const ModelConfig config = config_with(64, 128, 4, 2, 16);
    const Rotation none = make_rotation(RotationSpec{}, config);
    const Rotation all = make_rotation(everything(), config);
    for (const Basis basis : {Basis::Residual, Basis::ValueHeads, Basis::MixedHeads, Basis::Ffn}) {
        EXPECT_FALSE(changes(none, basis));
        EXPECT_TRUE(changes(all, basis));
    }
    EXPECT_FALSE(changes(all, Basis::Plain));
}

TEST(Rotation, SevenHeadsKeepOnlyTheHeadwiseHalf) {
    const ModelConfig config = config_with(56, 28, 7, 7, 8);
    const Rotation rotation = make_rotation(everything(), config);
    EXPECT_TRUE(!rotation.online.head_mix ||
                rotation.online.head_mix->kind == linalg::MixerKind::Identity);
    EXPECT_TRUE(changes(rotation, Basis::MixedHeads));
}

ErrorCode refusal(const RotationSpec& spec, const ModelConfig& config) {
    try {
        make_rotation(spec, config);
    } catch (const Error& error) {
        return error.code();
    }
    return ErrorCode::Internal;
}

TEST(Rotation, RefusesABlockThatDoesNotDivideTheWidth) {
    const ModelConfig config = config_with(48, 96, 8, 4, 4);
    EXPECT_EQ(refusal(with_blocks(everything(), 36, 0, 0), config), ErrorCode::Usage);
    EXPECT_EQ(refusal(with_blocks(everything(), -12, 0, 0), config), ErrorCode::Usage);
}

TEST(Rotation, RefusesToRotateTheResidualStreamUnderUnfoldedGains) {
    RotationSpec spec = everything();
    spec.fold_norms = false;
    EXPECT_EQ(refusal(spec, config_with(48, 96, 8, 4, 4)), ErrorCode::Usage);
}

// LayerNorm of a vector is RMSNorm of what is left of it without its mean, and that passes R1.
TEST(Means, WhatIsCentredNeedsNoMeanSubtracted) {
    std::vector<double> rows = {1.0, 2.0, 6.0, -1.0, 0.0, 1.0};
    centre_rows(rows, 2);
    EXPECT_EQ(rows, (std::vector<double>{-2.0, -1.0, 3.0, -1.0, 0.0, 1.0}));
    std::vector<double> columns = {1.0, -1.0, 2.0, 0.0, 6.0, 1.0};
    centre_columns(columns, 2);
    EXPECT_EQ(columns, (std::vector<double>{-2.0, -1.0, -1.0, 0.0, 3.0, 1.0}));
    std::vector<double> bias = {1.0, 3.0};
    centre_columns(bias, 1);
    EXPECT_EQ(bias, (std::vector<double>{-1.0, 1.0}));
}

// Query heads go by the KV head that they share, and layers by their own matrices.
TEST(AlignedValues, ChangeEachHeadByTheMatrixOfItsKvHeadAndLayer) {
    const ModelConfig config = config_with(8, 16, 4, 2, 2);
    RotationSpec spec{.value_heads = true, .aligned_values = true};
    Rotation rotation = make_rotation(spec, config);
    EXPECT_FALSE(rotation.head_dim);
    EXPECT_TRUE(changes(rotation, Basis::ValueHeads) && changes(rotation, Basis::MixedHeads));
    // Rows of Q are where the coordinates go: (a, b) becomes (b, a), stays, or loses signs.
    const std::vector<double> swapped = {0, 1, 1, 0}, same = {1, 0, 0, 1}, turned = {0, 1, -1, 0};
    add_value_heads(rotation, {same, same});
    add_value_heads(rotation, {swapped, turned});
    std::vector<double> values = {1, 2, 3, 4};
    rotate_output(rotation, {Basis::ValueHeads, 1}, config, values, 1);
    EXPECT_EQ(values, (std::vector<double>{2, 1, -4, 3}));
    std::vector<double> heads = {1, 2, 3, 4, 5, 6, 7, 8};
    rotate_input(rotation, {Basis::MixedHeads, 1}, config, {}, heads, 1);
    EXPECT_EQ(heads, (std::vector<double>{2, 1, 4, 3, -6, 5, -8, 7}));
    rotate_input(rotation, {Basis::MixedHeads, 0}, config, {}, heads, 1);
    EXPECT_EQ(heads, (std::vector<double>{2, 1, 4, 3, -6, 5, -8, 7})) << "layer 0 is as it was";
}

TEST(MakeRotation, BalancesUpWhereAGateMultipliesItAlone) {
    ModelConfig config = config_with(8, 16, 4, 2, 2);
    const RotationSpec spec{.up_balance = 1.0};
    EXPECT_TRUE(make_rotation(spec, config).balances_up);
    EXPECT_FALSE(make_rotation({}, config).balances_up);
    config.gated = false;
    config.architecture = "OPTForCausalLM";
    expect_error(ErrorCode::Unsupported, {"rotation.up_balance", "OPTForCausalLM", "no gate"},
                 [&] { make_rotation(spec, config); });
}

}  // namespace
}  // namespace quarot::rotate
