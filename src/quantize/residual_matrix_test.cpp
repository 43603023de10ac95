// Which files give an R1, and what is said of those that do not?
#include "quantize/residual_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/expect_error.h"
#include "io/hash.h"
#include "io/safetensors.h"
#include "linalg/orthogonal.h"
#include "support/temp_dir.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

constexpr int64_t kHidden = 96;

class ResidualMatrixFile : public testing::Test {
  protected:
    // Each name with the same values, as that type holds them.
    void write(const std::vector<std::string>& names, DType dtype, std::vector<double> values,
               Shape shape = {kHidden, kHidden}) const {
        std::vector<io::PlannedTensor> plan;
        for (const std::string& name : names) plan.push_back({name, dtype, shape});
        std::error_code ignored;
        std::filesystem::remove(file, ignored);
        io::SafetensorsWriter writer(file, plan);
        std::vector<std::byte> stored(values.size() * static_cast<size_t>(size_of(dtype)));
        if (dtype == DType::F64) {
            const auto bytes = std::as_bytes(std::span(values));
            stored.assign(bytes.begin(), bytes.end());
        } else {
            narrow(dtype, std::vector<float>(values.begin(), values.end()), stored.data());
        }
        for (const std::string& name : names) writer.write(name, 0, stored);
        writer.finish();
    }

    ResidualMatrix read() { return read_residual_matrix(file, kHidden, pool); }

    void expect_refused(const std::vector<std::string>& words) {
        expect_error(ErrorCode::Corrupt, words, [&] { read(); });
    }

    const test::TempDir dir;
    const std::string file = dir / "r1.safetensors";
    const std::vector<double> q = linalg::random_orthogonal(kHidden, 5);
    ThreadPool pool{2};
};

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    double worst = 0.0;
    for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(a[i] - b[i]));
    return worst;
}

TEST_F(ResidualMatrixFile, OfFp64IsTakenAsItIs) {
    write({"rotation"}, DType::F64, q);
    const ResidualMatrix matrix = read();
    EXPECT_EQ(matrix.q, q);
    EXPECT_EQ(matrix.sha256, io::sha256_of_file(file));
    EXPECT_LT(matrix.orthogonality_error, 1e-13);
}

TEST_F(ResidualMatrixFile, WhatRoundingTookIsGivenBack) {
    for (const auto& [dtype, least, most] :
         {std::tuple(DType::F32, 1e-9, 1e-6), std::tuple(DType::F16, 1e-6, 5e-4),
          std::tuple(DType::BF16, 1e-4, 2e-3)}) {
        SCOPED_TRACE(name_of(dtype));
        write({"R1"}, dtype, q);
        const ResidualMatrix matrix = read();
        EXPECT_GT(matrix.orthogonality_error, least) << "of what the file holds";
        EXPECT_LT(matrix.orthogonality_error, most);
        EXPECT_LT(linalg::orthogonality_error(matrix.q, kHidden, pool), 1e-12);
        EXPECT_LT(largest_difference(matrix.q, q), most) << "the nearest, not another";
    }
}

TEST_F(ResidualMatrixFile, IsFoundByItsName) {
    for (const char* name : {"R1", "R1.weight"}) {
        write({"model.layers.0.self_attn.R2", name}, DType::F64, q);
        EXPECT_EQ(read().q, q);
    }
    write({"a", "b"}, DType::F64, q);
    expect_refused({file, "holds 2 tensors: a, b", "R1"});
}

TEST_F(ResidualMatrixFile, OfAnotherSizeIsRefused) {
    write({"R1"}, DType::F64, linalg::random_orthogonal(64, 1), {64, 64});
    expect_refused({file, "R1", "[64, 64]", "[96, 96]"});
    write({"R1"}, DType::F64, q, {kHidden * kHidden});
    expect_refused({file, "R1", "[9216]", "[96, 96]"});
}

TEST_F(ResidualMatrixFile, ThatIsNotOrthogonalIsRefusedWithHowFar) {
    std::vector<double> scaled = q;
    for (double& value : scaled) value *= 1.01;
    write({"R1"}, DType::F64, scaled);
    expect_refused({file, "not orthogonal", "by up to 0.0201", "at most 0.002"});
    write({"R1"}, DType::F64, std::vector<double>(q.size()));
    expect_refused({file, "not orthogonal", "by up to 1,"});
    // Products that overflow are far from it, too.
    write({"R1"}, DType::F64, std::vector<double>(q.size(), 1e300));
    expect_refused({file, "not orthogonal", "by up to inf"});
}

// Each entry of I + 0.0019 is near that of I, but one direction is 1.4 times as long.
TEST_F(ResidualMatrixFile, WhoseSmallErrorsAreLargeTogetherIsRefusedAsThat) {
    constexpr int64_t kLarge = 512;
    constexpr double kError = 0.0019;
    const auto n = static_cast<double>(kLarge);
    const double each = (std::sqrt(1.0 + kError * n) - 1.0) / n;
    std::vector<double> values(kLarge * kLarge, each);
    for (size_t i = 0; i < kLarge; ++i) values[i * (kLarge + 1)] += 1.0;
    write({"R1"}, DType::F64, values, {kLarge, kLarge});
    expect_error(ErrorCode::Corrupt,
                 {file, "cannot be made orthogonal: after 4 steps", "large together"},
                 [&] { read_residual_matrix(file, kLarge, pool); });
}

TEST_F(ResidualMatrixFile, WithAValueThatIsNoNumberIsRefusedWithItsPlace) {
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
        std::vector<double> values = q;
        values[2 * kHidden + 7] = bad;
        write({"R1"}, DType::F32, values);
        expect_refused({file, "R1", "row 2, column 7"});
    }
}

TEST_F(ResidualMatrixFile, OfIntegersIsRefused) {
    io::SafetensorsWriter writer(file, {{"R1", DType::I64, {kHidden, kHidden}}});
    writer.write("R1", 0, std::as_bytes(std::span(q)));
    writer.finish();
    expect_refused({file, "I64", "F64, F32, F16 or BF16"});
}

TEST(UseAsResidual, TakesThePlaceOfAHadamardAlone) {
    const ResidualMatrix matrix{.sha256 = std::string(64, 'a'), .q = {}};
    Recipe recipe = named_recipe("quarot-rtn");
    use_as_residual(matrix, recipe);
    EXPECT_NO_THROW(check_recipe(recipe));
    EXPECT_EQ(recipe.rotation.residual_sha256, matrix.sha256);
    EXPECT_EQ(recipe.name, "custom");
    recipe = named_recipe("quarot-rtn");
    recipe.name = "custom";  // as flags make it
    EXPECT_NO_THROW(use_as_residual(matrix, recipe));
    for (const char* name : {"rtn", "quarot-random"}) {
        Recipe other = named_recipe(name);
        expect_error(ErrorCode::Usage, {name, "`rotation.residual`"},
                     [&] { use_as_residual(matrix, other); });
    }
}

}  // namespace
}  // namespace quarot::quantize
