#include "backend/test_data.h"

#include <algorithm>
#include <limits>

#include "tensor/float_convert.h"

namespace quarot::backend_test {

namespace {

float uniform(Rng& rng, float lo, float hi) {
    return std::uniform_real_distribution<float>(lo, hi)(rng);
}

void temper_row(Temper temper, std::span<float> row, int64_t index, Rng& rng) {
    const auto last = row.size() - 1;
    const auto somewhere = std::uniform_int_distribution<size_t>(0, last)(rng);
    const float base = uniform(rng, -3.0f, 3.0f);
    for (float& x : row) {
        switch (temper) {
            case Temper::Zeros:
                x = 0.0f;
                break;
            case Temper::Constant:
                x = base;
                break;
            case Temper::FarOff:
                x = 1000.0f * base + uniform(rng, -0.5f, 0.5f);
                break;
            case Temper::Ties:
                x = 0.25f * std::round(uniform(rng, -28.0f, 28.0f));
                break;
            case Temper::Huge:
                x = uniform(rng, -1e38f, 1e38f);
                break;
            case Temper::Overflow:
                x = uniform(rng, -1.0f, 1.0f) < 0.0f ? -3e38f : 3e38f;
                break;
            case Temper::Subnormal:
                x *= std::numeric_limits<float>::denorm_min() * 100.0f;
                break;
            default:
                break;
        }
    }
    if (temper == Temper::Outliers) row[somewhere] *= 300.0f;
    if (temper == Temper::Ties) row[somewhere] = 7.0f;
    if (index % 3 != 0) return;
    if (temper == Temper::NanInside) row[somewhere] = std::numeric_limits<float>::quiet_NaN();
    if (temper == Temper::InfInside) {
        row[somewhere] = std::copysign(std::numeric_limits<float>::infinity(), base);
    }
}

template <typename T, typename Equal>
testing::AssertionResult compare(std::span<const T> expected, std::span<const T> actual,
                                 const Equal& equal) {
    if (expected.size() != actual.size()) {
        return testing::AssertionFailure()
               << actual.size() << " elements, expected " << expected.size();
    }
    size_t n_wrong = 0, first = 0;
    for (size_t i = expected.size(); i-- > 0;) {
        if (equal(i)) continue;
        ++n_wrong;
        first = i;
    }
    if (n_wrong == 0) return testing::AssertionSuccess();
    return testing::AssertionFailure()
           << n_wrong << " of " << expected.size() << " elements differ, the first is " << first
           << ": " << testing::PrintToString(actual[first]) << ", expected "
           << testing::PrintToString(expected[first]);
}

}  // namespace

Matrix Matrix::slice(int64_t first, int64_t count) const {
    Matrix out(count, cols);
    std::copy_n(row(first), count * cols, out.values.begin());
    return out;
}

std::vector<float> normal_vector(int64_t n, Rng& rng) {
    std::normal_distribution<float> normal;
    std::vector<float> out(static_cast<size_t>(n));
    for (float& x : out) x = normal(rng);
    return out;
}

Matrix make_matrix(Temper temper, int64_t rows, int64_t cols, Rng& rng) {
    Matrix out(rows, cols);
    out.values = normal_vector(rows * cols, rng);
    for (int64_t r = 0; r < rows; ++r) {
        temper_row(temper, {out.row(r), static_cast<size_t>(cols)}, r, rng);
    }
    return out;
}

QuantizedMatrix random_quantized(int64_t out, int64_t in, int bits, int64_t group_size,
                                 bool symmetric, Rng& rng) {
    QuantizedMatrix m = make_quantized_matrix(out, in, bits, group_size, symmetric);
    const uint32_t mask = (1u << bits) - 1u;
    std::vector<uint8_t> row(static_cast<size_t>(in));
    for (int64_t r = 0; r < out; ++r) {
        for (uint8_t& value : row) value = static_cast<uint8_t>(rng() & mask);
        row.front() = 0;
        row.back() = static_cast<uint8_t>(mask);
        m.pack_row(r, row);
        for (int64_t i = r * m.n_groups(); i < (r + 1) * m.n_groups(); ++i) {
            const float scale = uniform(rng, 0.001f, 0.1f);
            if (group_size == 0) {
                m.scales.as<float>()[i] = scale;
            } else {
                m.scales.as<uint16_t>()[i] = f32_to_f16(scale);
            }
            if (!symmetric) m.zero_points.as<uint8_t>()[i] = static_cast<uint8_t>(rng() & mask);
        }
    }
    return m;
}

std::shared_ptr<const Tensor> random_dense(int64_t out, int64_t in, DType dtype, Rng& rng) {
    auto tensor = std::make_shared<Tensor>(dtype, Shape{out, in});
    narrow(dtype, normal_vector(out * in, rng), tensor->data());
    return tensor;
}

Matrix values_of(const Tensor& tensor) {
    Matrix out(tensor.rows(), tensor.cols());
    widen(tensor.dtype(), tensor.data(), out.values);
    return out;
}

testing::AssertionResult same(std::span<const float> expected, std::span<const float> actual) {
    return compare(expected, actual, [&](size_t i) {
        return expected[i] == actual[i] || (std::isnan(expected[i]) && std::isnan(actual[i]));
    });
}

testing::AssertionResult same(std::span<const int32_t> expected, std::span<const int32_t> actual) {
    return compare(expected, actual, [&](size_t i) { return expected[i] == actual[i]; });
}

testing::AssertionResult same(std::span<const int8_t> expected, std::span<const int8_t> actual) {
    return compare(expected, actual, [&](size_t i) { return expected[i] == actual[i]; });
}

testing::AssertionResult near(std::span<const float> expected, std::span<const float> actual,
                              const std::function<double(size_t)>& limit) {
    return compare(expected, actual, [&](size_t i) {
        const double difference = static_cast<double>(expected[i]) - actual[i];
        return expected[i] == actual[i] || std::fabs(difference) <= limit(i);
    });
}

}  // namespace quarot::backend_test
