// GPTQ against a slow solve written differently, and what must hold for any good one.
#include "quantize/rounding/gptq.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "quantize/rounding/gptq_reference_for_tests.h"
#include "quantize/rounding/rtn.h"

namespace quarot::quantize {
namespace {

WeightFormat format_of(int bits, bool symmetric = true, int64_t group_size = 0) {
    WeightFormat format;
    format.method = "gptq";
    format.bits = bits;
    format.symmetric = symmetric;
    format.group_size = group_size;
    return format;
}

struct Case {
    std::vector<double> hessian;
    std::vector<float> weights;
    int64_t rows = 0;
    WeightInputs inputs;  // of all columns
    WeightMatrix matrix() const { return {weights, rows, inputs.n_cols}; }
};

Case make_case(int64_t n, int64_t rows, uint32_t seed) {
    Case c;
    c.hessian = correlated_hessian(n, seed);
    c.weights = random_weights(rows * n, seed + 1);
    c.rows = rows;
    c.inputs = {"test site", n, n, c.hessian};
    return c;
}

// Built once: the tests below look at the same ones again and again.
const Case& case_of_width(int64_t n) {
    static std::map<int64_t, Case> cases;
    if (!cases.contains(n)) {
        Case& made = cases[n] = make_case(n, n < 300 ? 6 : 3, static_cast<uint32_t>(n));
        made.inputs.hessian = made.hessian;
    }
    return cases.at(n);
}

QuantizedPiece gptq(const WeightInputs& inputs, const WeightFormat& format,
                    const WeightMatrix& rows) {
    ThreadPool pool(1);
    return prepare_gptq(inputs, format, pool)->quantize(rows);
}

std::vector<int> codes_of(const QuantizedMatrix& matrix, int64_t row) {
    std::vector<uint8_t> stored(matrix.cols);
    matrix.unpack_row(row, stored);
    return {stored.begin(), stored.end()};
}

std::vector<std::vector<int>> codes_of(const QuantizedMatrix& matrix) {
    std::vector<std::vector<int>> codes;
    for (int64_t r = 0; r < matrix.rows; ++r) codes.push_back(codes_of(matrix, r));
    return codes;
}

std::vector<std::vector<float>> values_of(const QuantizedPiece& piece) {
    const int64_t n_rest = std::ssize(piece.rest) / piece.codes.rows;
    std::vector<std::vector<float>> values;
    for (int64_t r = 0; r < piece.codes.rows; ++r) {
        std::vector<float> row(piece.codes.cols);
        piece.codes.dequantize_row(r, row);
        const auto rest = piece.rest.begin() + r * n_rest;
        row.insert(row.end(), rest, rest + n_rest);
        values.push_back(row);
    }
    return values;
}

void expect_equal(const QuantizedMatrix& a, const QuantizedMatrix& b) {
    EXPECT_EQ(codes_of(a), codes_of(b));
    for (int64_t r = 0; r < a.rows; ++r) {
        for (int64_t g = 0; g < a.n_groups(); ++g) {
            EXPECT_EQ(a.scale(r, g), b.scale(r, g)) << r << ' ' << g;
            EXPECT_EQ(a.zero(r, g), b.zero(r, g)) << r << ' ' << g;
        }
    }
}

void expect_as_reference(const Case& c, const WeightInputs& inputs, const ReferenceGptq& reference,
                         const WeightFormat& format) {
    SCOPED_TRACE(fmt::format("n {} of {}, {} bits, symmetric {}, group {}, act-order {}",
                             inputs.n_codes, inputs.n_cols, format.bits, format.symmetric,
                             format.group_size, format.act_order));
    const QuantizedPiece piece = gptq(inputs, format, c.matrix());
    const ReferenceResult expected = reference.quantize(c.matrix(), format);
    EXPECT_EQ(codes_of(piece.codes), expected.codes);
    const double error = weighted_error(c.matrix(), values_of(piece), c.hessian);
    const double expected_error = weighted_error(c.matrix(), expected.values, c.hessian);
    EXPECT_NEAR(error, expected_error, 1e-6 * expected_error);
}

void expect_as_reference_in_every_format(const Case& c, const std::vector<int64_t>& groups,
                                         WeightFormat format) {
    const ReferenceGptq reference(c.inputs, format);
    for (const int bits : {2, 3, 4, 8}) {
        for (const bool symmetric : {true, false}) {
            for (const int64_t group : groups) {
                format.bits = bits;
                format.symmetric = symmetric;
                format.group_size = group;
                expect_as_reference(c, c.inputs, reference, format);
            }
        }
    }
}

// ---- the slow solve

TEST(Gptq, AgreesWithElimination) {
    expect_as_reference_in_every_format(case_of_width(256), {0, 32, 64, 128, 256}, format_of(4));
}

TEST(Gptq, AgreesWithEliminationOnWidthsThatAreNoMultipleOfABlock) {
    for (const int64_t n : {1, 5, 31, 33, 127, 129, 200}) {
        const WeightFormat format = format_of(4);
        expect_as_reference(case_of_width(n), case_of_width(n).inputs,
                            ReferenceGptq(case_of_width(n).inputs, format), format);
    }
}

TEST(Gptq, AgreesWithEliminationOnGroupsThatDivideNoBlock) {
    for (const int64_t group : {24, 48, 80, 144, 192}) {
        const Case c = make_case(2 * group, 3, 5);
        const WeightFormat format = format_of(3, false, group);
        expect_as_reference(c, c.inputs, ReferenceGptq(c.inputs, format), format);
    }
}

TEST(Gptq, AgreesWithEliminationOverSeveralBlocks) {
    const Case& c = case_of_width(512);
    const ReferenceGptq reference(c.inputs, format_of(4));
    for (const int64_t group : {0, 64, 256}) {
        expect_as_reference(c, c.inputs, reference, format_of(4, group != 0, group));
    }
}

TEST(Gptq, AgreesWithEliminationWhenGroupsAreScaledAtTheirBlocksStart) {
    WeightFormat format = format_of(4);
    format.group_scales = GroupScales::BlockStart;
    expect_as_reference_in_every_format(case_of_width(256), {32, 64, 256}, format);
}

TEST(Gptq, AgreesWithEliminationInActivationOrder) {
    WeightFormat format = format_of(4);
    format.act_order = true;
    expect_as_reference_in_every_format(case_of_width(256), {0, 32, 128}, format);
}

TEST(Gptq, AgreesWithEliminationWhenInputsWeighTheClipSearch) {
    WeightFormat format = format_of(4);
    format.scale_search = ScaleSearch::Hessian;
    for (const bool act_order : {false, true}) {
        format.act_order = act_order;
        expect_as_reference_in_every_format(case_of_width(256), {0, 32, 128}, format);
    }
}

TEST(Gptq, AgreesWithEliminationWithDeadColumns) {
    Case c = make_case(160, 4, 9);
    for (const int64_t dead : {0, 17, 18, 130, 159}) {
        for (int64_t i = 0; i < 160; ++i) c.hessian[dead * 160 + i] = c.hessian[i * 160 + dead] = 0;
    }
    c.inputs.hessian = c.hessian;
    for (const bool act_order : {false, true}) {
        WeightFormat format = format_of(4, false, 32);
        format.act_order = act_order;
        const ReferenceGptq reference(c.inputs, format);
        expect_as_reference(c, c.inputs, reference, format);
        format.group_size = 0;
        expect_as_reference(c, c.inputs, reference, format);
    }
}

TEST(Gptq, ColumnsWithoutCodesTakeTheErrorOfTheOthers) {
    const Case& c = case_of_width(256);
    WeightInputs inputs = c.inputs;
    inputs.n_codes = 192;
    for (const bool act_order : {false, true}) {
        WeightFormat format = format_of(4, true, 64);
        format.act_order = act_order;
        const ReferenceGptq reference(inputs, format);
        expect_as_reference(c, inputs, reference, format);
        const auto values = values_of(gptq(inputs, format, c.matrix()));
        const auto expected = reference.quantize(c.matrix(), format).values;
        auto kept = values;  // the same codes with the other columns as they were
        for (int64_t r = 0; r < c.rows; ++r) {
            for (int64_t i = 192; i < 256; ++i) {
                EXPECT_NEAR(values[r][i], expected[r][i], 1e-6f) << r << ' ' << i;
                kept[r][i] = c.weights[r * 256 + i];
            }
        }
        EXPECT_LT(weighted_error(c.matrix(), values, c.hessian),
                  0.9 * weighted_error(c.matrix(), kept, c.hessian));
    }
}

// ---- what must hold

TEST(Gptq, BlockStartChangesGroupsInsideABlockOnly) {
    const Case& c = case_of_width(256);
    for (const int64_t group : {32, 128, 256}) {
        const WeightFormat updated = format_of(4, true, group);
        WeightFormat block_start = updated;
        block_start.group_scales = GroupScales::BlockStart;
        const auto a = codes_of(gptq(c.inputs, updated, c.matrix()).codes);
        const auto b = codes_of(gptq(c.inputs, block_start, c.matrix()).codes);
        EXPECT_EQ(a == b, group >= 128) << group;
    }
}

TEST(Gptq, PerChannelScalesAreThoseOfRoundingToNearest) {
    const Case& c = case_of_width(256);
    for (const bool act_order : {false, true}) {
        WeightFormat format = format_of(4, false);
        format.act_order = act_order;
        const QuantizedMatrix solved = gptq(c.inputs, format, c.matrix()).codes;
        const QuantizedMatrix nearest = quantize_rtn(c.matrix(), format);
        for (int64_t r = 0; r < c.rows; ++r) {
            EXPECT_EQ(solved.scale(r, 0), nearest.scale(r, 0));
            EXPECT_EQ(solved.zero(r, 0), nearest.zero(r, 0));
        }
    }
}

TEST(Gptq, HasASmallerWeightedErrorThanRoundingToNearest) {
    for (const int64_t n : {64, 200, 256, 512}) {
        const Case& c = case_of_width(n);
        for (const int bits : {2, 3, 4, 8}) {
            const WeightFormat format = format_of(bits);
            const double solved = weighted_error(
                c.matrix(), values_of(gptq(c.inputs, format, c.matrix())), c.hessian);
            const double nearest = weighted_error(
                c.matrix(), values_of({quantize_rtn(c.matrix(), format), {}}), c.hessian);
            EXPECT_LT(solved, 0.8 * nearest) << n << " columns, " << bits << " bits";
        }
    }
}

// Where inputs are not correlated the weights of the search are exact.
TEST(Gptq, WeighingByInputsGivesASmallerErrorThanThePower) {
    const int64_t n = 256;
    std::vector<double> hessian(n * n, 0.0);
    for (int64_t i = 0; i < n; ++i)
        hessian[i * (n + 1)] = std::pow(10.0, -0.01 * static_cast<double>(i * 37 % n));
    const std::vector<float> weights = random_weights(8 * n, 4);
    const WeightMatrix rows{weights, 8, n};
    for (const int64_t group : {0, 32}) {
        for (const bool symmetric : {true, false}) {
            WeightFormat format = format_of(3, symmetric, group);
            const WeightInputs inputs = {"diagonal", n, n, hessian};
            const double by_power =
                weighted_error(rows, values_of(gptq(inputs, format, rows)), hessian);
            format.scale_search = ScaleSearch::Hessian;
            const double by_inputs =
                weighted_error(rows, values_of(gptq(inputs, format, rows)), hessian);
            EXPECT_LT(by_inputs, 0.97 * by_power) << group << ' ' << symmetric;
        }
    }
}

TEST(Gptq, UncorrelatedInputsGiveTheCodesOfRoundingToNearest) {
    const int64_t n = 300;
    std::vector<double> hessian(n * n, 0.0);
    for (int64_t i = 0; i < n; ++i) hessian[i * (n + 1)] = 0.1 + static_cast<double>(i % 7);
    const std::vector<float> weights = random_weights(4 * n, 3);
    const WeightMatrix rows{weights, 4, n};
    for (const bool act_order : {false, true}) {
        for (const int64_t group : {0, 50, 150}) {
            WeightFormat format = format_of(4, false, group);
            format.act_order = act_order;
            expect_equal(gptq({"diagonal", n, n, hessian}, format, rows).codes,
                         quantize_rtn(rows, format));
        }
    }
}

TEST(Gptq, ResultsDoNotDependOnHowRowsAreCut) {
    const Case c = make_case(200, 150, 11);
    WeightInputs inputs = c.inputs;
    inputs.hessian = c.hessian;
    inputs.n_codes = 160;
    ThreadPool pool(1);
    const auto prepared = prepare_gptq(inputs, format_of(4, false, 32), pool);
    const QuantizedPiece whole = prepared->quantize(c.matrix());
    const auto codes = codes_of(whole.codes);
    for (const int64_t step : {1, 7, 64}) {
        for (int64_t first = 0; first < c.rows; first += step) {
            const int64_t count = std::min(step, c.rows - first);
            const std::vector<float> cut(c.weights.begin() + first * 200,
                                         c.weights.begin() + (first + count) * 200);
            const QuantizedPiece piece = prepared->quantize({cut, count, 200});
            for (int64_t r = 0; r < count; ++r) {
                ASSERT_EQ(codes_of(piece.codes, r), codes[first + r]) << first + r;
                for (int64_t g = 0; g < 5; ++g) {
                    ASSERT_EQ(piece.codes.scale(r, g), whole.codes.scale(first + r, g));
                }
            }
            const auto rest = whole.rest.begin() + first * 40;
            ASSERT_EQ(piece.rest, std::vector<float>(rest, rest + count * 40)) << first;
        }
    }
}

TEST(Gptq, ResultsDoNotDependOnTheThreads) {
    const Case& c = case_of_width(512);
    ThreadPool two(2);
    const QuantizedMatrix alone = gptq(c.inputs, format_of(3), c.matrix()).codes;
    expect_equal(prepare_gptq(c.inputs, format_of(3), two)->quantize(c.matrix()).codes, alone);
}

TEST(Gptq, EveryWidthStaysInRange) {
    const Case& c = case_of_width(64);
    for (int bits = 2; bits <= 8; ++bits) {
        for (const bool symmetric : {true, false}) {
            const auto piece = gptq(c.inputs, format_of(bits, symmetric, 16), c.matrix());
            for (const auto& row : codes_of(piece.codes)) {
                for (const int code : row) ASSERT_LT(code, 1 << bits);
            }
        }
    }
}

TEST(Gptq, AWeightThatGrowsBeyondItsTypeNamesTheSite) {
    // The third column takes the error of the second five hundredfold.
    const std::vector<double> hessian = {1.0, 0.0, 0.0, 0.0, 1.0, 1e-3, 0.0, 1e-3, 2e-6};
    const std::vector<float> weights = {3e37f, 1e37f, 0.0f};
    WeightFormat format = format_of(2);
    format.damp = 0.0;
    format.clip_search = false;
    try {
        gptq({"layer 3, the input of down_proj", 3, 2, hessian}, format, {weights, 1, 3});
        FAIL() << "the third column does not fit in fp32";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Numeric);
        EXPECT_NE(std::string(error.what()).find("layer 3, the input of down_proj"),
                  std::string::npos);
    }
}

}  // namespace
}  // namespace quarot::quantize
