#include "cuda/device_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/cuda/cuda_activations.h"
#include "tensor/float_convert.h"

namespace quarot::cuda_test {

using namespace kernels;
using backend_test::same;

namespace {

constexpr std::byte kPoisonByte{0xA5};

std::vector<std::byte> to_bytes(const Matrix& matrix, DType dtype, int64_t stride) {
    const auto size = static_cast<size_t>(size_of(dtype));
    std::vector<std::byte> bytes(static_cast<size_t>(matrix.rows * stride) * size, kPoisonByte);
    for (int64_t r = 0; r < matrix.rows; ++r) {
        auto* to = bytes.data() + static_cast<size_t>(r * stride) * size;
        const std::span row(matrix.row(r), static_cast<size_t>(matrix.cols));
        if (dtype == DType::F32) {
            std::memcpy(to, row.data(), row.size_bytes());
        } else {
            narrow(dtype, row, to);
        }
    }
    return bytes;
}

std::vector<int32_t> counted(int64_t n) {
    std::vector<int32_t> numbers(static_cast<size_t>(n));
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
}

void widen_row(DType dtype, const std::byte* from, std::span<float> to) {
    if (dtype == DType::F32) {
        std::memcpy(to.data(), from, to.size_bytes());
    } else {
        widen(dtype, from, to);
    }
}

}  // namespace

Matrix rounded(const Matrix& matrix, DType dtype) {
    Matrix out = matrix;
    const std::vector<std::byte> bytes = to_bytes(matrix, dtype, matrix.cols);
    widen_row(dtype, bytes.data(), out.values);
    return out;
}

DeviceRows::DeviceRows(const Matrix& matrix, DType dtype, int64_t padding)
    : memory_(std::span<const std::byte>(to_bytes(matrix, dtype, matrix.cols + padding))),
      view_{memory_.data(), dtype, matrix.rows, matrix.cols, matrix.cols + padding} {}

DeviceRows::DeviceRows(int64_t rows, int64_t cols, DType dtype, int64_t padding)
    : memory_(rows * (cols + padding) * size_of(dtype)),
      view_{memory_.data(), dtype, rows, cols, cols + padding} {}

Matrix DeviceRows::download() const {
    synchronize();
    const auto bytes = cuda_test::download<std::byte>(memory_);
    Matrix out(view_.rows, view_.cols);
    for (int64_t r = 0; r < out.rows; ++r) {
        widen_row(view_.dtype,
                  bytes.data() + static_cast<size_t>(r * view_.stride * size_of(view_.dtype)),
                  std::span(out.row(r), static_cast<size_t>(out.cols)));
    }
    return out;
}

bool DeviceRows::padding_intact() const {
    const auto bytes = cuda_test::download<std::byte>(memory_);
    const auto size = static_cast<size_t>(size_of(view_.dtype));
    for (int64_t r = 0; r < view_.rows; ++r) {
        const auto end = static_cast<size_t>(r * view_.stride + view_.cols) * size;
        const auto next = static_cast<size_t>((r + 1) * view_.stride) * size;
        for (size_t i = end; i < next; ++i) {
            if (bytes[i] != kPoisonByte) return false;
        }
    }
    return memory_.guards_intact();
}

DeviceCodes::DeviceCodes(int64_t rows, int64_t cols, const ActivationFormat& format)
    : format_(format),
      rows_(rows),
      cols_(cols),
      stride_(cuda::activation_stride(cols)),
      n_groups_(format.group_size == 0 ? 1 : cols / format.group_size),
      codes_(rows * stride_),
      scales_(rows * n_groups_ * 4),
      offsets_(rows * n_groups_ * 4),
      bases_(rows * n_groups_ * 4),
      sums_(rows * n_groups_ * 4),
      sites_(upload(std::vector<int32_t>(static_cast<size_t>(rows), kNoSite))),
      positions_(upload(counted(rows))),
      multiples_(has_multiples() ? rows * stride_ * planes() : 1),
      units_(rows * static_cast<int64_t>(sizeof(cuda::RowUnit))) {}

bool DeviceCodes::has_multiples() const {
    return cuda::writes_multiples(format_);
}

cuda::QuantizeTarget DeviceCodes::target(int32_t site) const {
    const cuda::ActivationView view{
        .codes = codes_.as<uint8_t>(),
        .scales = scales_.as<float>(),
        .offsets = format_.has_offsets() ? offsets_.as<int32_t>() : nullptr,
        .bases = format_.has_bases() ? bases_.as<float>() : nullptr,
        .row_sums = sums_.as<int32_t>(),
        .multiples = has_multiples() ? multiples_.as<uint8_t>() : nullptr,
        .row_units = has_multiples() ? units_.as<cuda::RowUnit>() : nullptr,
        .rows = rows_,
        .cols = cols_,
        .stride = stride_,
        .bits = format_.widest_bits(),
        .group_size = format_.group_size};
    return {.codes = view,
            .clip = format_.clip,
            .site = site,
            .bad_site = sites_.as<int32_t>(),
            .bits = format_.bits,
            .two_level = format_.scales == ActivationScales::TwoLevel,
            .first_positions = format_.first_positions,
            .positions = format_.first_positions > 0 ? positions_.as<int32_t>() : nullptr};
}

Codes DeviceCodes::download() const {
    synchronize();
    const auto stored = cuda_test::download<uint8_t>(codes_);
    Codes out;
    int64_t n_bad_padding = 0;
    for (int64_t r = 0; r < rows_; ++r) {
        for (int64_t c = 0; c < stride_; ++c) {
            const auto at = static_cast<size_t>(cuda::code_offset(rows_, stride_, r, c));
            if (c >= cols_) {
                n_bad_padding += stored[at] != 0;
                continue;
            }
            out.codes.push_back(
                static_cast<int8_t>(stored[at] - cuda::code_bias(format_.widest_bits())));
        }
    }
    EXPECT_EQ(n_bad_padding, 0) << "bytes of padding that are not 0";
    EXPECT_TRUE(codes_.guards_intact() && scales_.guards_intact() && sums_.guards_intact() &&
                offsets_.guards_intact() && bases_.guards_intact() && sites_.guards_intact());
    out.scales = cuda_test::download<float>(scales_);
    out.row_sums = cuda_test::download<int32_t>(sums_);
    if (format_.has_offsets()) out.offsets = cuda_test::download<int32_t>(offsets_);
    if (format_.has_bases()) out.bases = cuda_test::download<float>(bases_);
    EXPECT_TRUE(multiples_are(out));
    return out;
}

testing::AssertionResult DeviceCodes::multiples_are(const Codes& codes) const {
    if (!has_multiples()) return testing::AssertionSuccess();
    const auto stored = cuda_test::download<uint8_t>(multiples_);
    const auto units = cuda_test::download<cuda::RowUnit>(units_);
    for (int64_t r = 0; r < rows_; ++r) {
        const auto [unit, row_planes] = units[static_cast<size_t>(r)];
        if (row_planes != cuda::multiple_planes(format_.at(r).bits)) {
            return testing::AssertionFailure() << fmt::format("row {}: {} planes", r, row_planes);
        }
        for (int64_t c = 0; c < stride_; ++c) {
            int32_t v = 0;
            for (int plane = 0; plane < planes(); ++plane) {
                const int64_t at = cuda::multiple_offset(rows_, stride_, planes(), r, c, plane);
                const auto byte = static_cast<int8_t>(stored[static_cast<size_t>(at)]);
                v += byte * (plane == 0 ? 1 : 256);
            }
            double value = 0.0;
            if (c < cols_) {
                const auto group = static_cast<size_t>(r * n_groups_ + c / format_.group_size);
                value =
                    double{codes.scales[group]} * codes.codes[static_cast<size_t>(r * cols_ + c)];
                if (format_.has_bases()) value += codes.bases[group];
            }
            if (std::fabs(v * double{unit} - value) > 0.05 * unit) {
                return testing::AssertionFailure()
                       << fmt::format("row {}, column {}: {} of {}, {} planes, expected {}", r, c,
                                      v, unit, row_planes, value);
            }
        }
    }
    return testing::AssertionResult(multiples_.guards_intact() && units_.guards_intact());
}

Codes reference_codes(const Matrix& matrix, const ActivationFormat& format) {
    const auto backend = backend_test::make_reference();
    backend_test::Bench bench(*backend);
    return bench.download(bench.quantize(matrix, format));
}

testing::AssertionResult nearly_same(const Codes& expected, const Codes& actual) {
    if (expected.codes.size() != actual.codes.size()) {
        return testing::AssertionFailure() << "numbers of codes";
    }
    size_t n_off = 0;
    for (size_t i = 0; i < expected.codes.size(); ++i) {
        const int difference = std::abs(expected.codes[i] - actual.codes[i]);
        if (difference > 1) {
            return testing::AssertionFailure()
                   << fmt::format("code {}: {} expected {}", i, actual.codes[i], expected.codes[i]);
        }
        n_off += difference != 0;
    }
    for (size_t i = 0; i < expected.scales.size(); ++i) {
        if (std::fabs(actual.scales[i] - expected.scales[i]) <= 0x1p-10f * expected.scales[i]) {
            continue;
        }
        return testing::AssertionFailure()
               << fmt::format("scale {}: {} expected {}", i, actual.scales[i], expected.scales[i]);
    }
    if (1000 * n_off >= expected.codes.size() + 1000) {
        return testing::AssertionFailure()
               << fmt::format("{} of {} codes off by one", n_off, expected.codes.size());
    }
    return testing::AssertionSuccess();
}

testing::AssertionResult same_codes(const Codes& expected, const Codes& actual) {
    if (auto result = same(expected.codes, actual.codes); !result) return result << " (codes)";
    if (auto result = same(expected.scales, actual.scales); !result) return result << " (scales)";
    if (auto result = same(expected.offsets, actual.offsets); !result) {
        return result << " (offsets)";
    }
    if (auto result = same(expected.bases, actual.bases); !result) return result << " (bases)";
    if (auto result = same(expected.row_sums, actual.row_sums); !result) {
        return result << " (row sums)";
    }
    return testing::AssertionSuccess();
}

}  // namespace quarot::cuda_test
