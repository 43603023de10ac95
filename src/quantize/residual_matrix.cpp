#include "quantize/residual_matrix.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "core/setting.h"
#include "io/hash.h"
#include "io/safetensors.h"
#include "io/text.h"
#include "linalg/orthogonal.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {

namespace {

using Entry = std::pair<const std::string, io::TensorInfo>;

constexpr double kRoundingOfFp64 = 1e-12;
constexpr int kMostSteps = 4;  // each squares the error
constexpr size_t kNamesShown = 8;

std::string names_in(const io::SafetensorsFile& file) {
    std::string names;
    size_t n = 0;
    for (const auto& [name, info] : file.tensors()) {
        if (n++ == kNamesShown) return names + ", ...";
        names += (names.empty() ? "" : ", ") + io::printable(name);
    }
    return names;
}

const Entry& choose_tensor(const io::SafetensorsFile& file) {
    const auto& tensors = file.tensors();
    for (const char* name : {"R1", "R1.weight"}) {
        const auto found = tensors.find(name);
        if (found != tensors.end()) return *found;
    }
    if (tensors.size() == 1) return *tensors.begin();
    fail(ErrorCode::Corrupt, "{} holds {} tensors{}{}, expected one, or one named R1 or R1.weight",
         file.path(), tensors.size(), tensors.empty() ? "" : ": ", names_in(file));
}

std::string shape_text(const Shape& shape) {
    std::string text;
    for (const int64_t size : shape) text += fmt::format("{}{}", text.empty() ? "" : ", ", size);
    return "[" + text + "]";
}

void check_shape(const io::SafetensorsFile& file, const Entry& entry, int64_t hidden) {
    const auto& [name, info] = entry;
    if (info.shape != Shape{hidden, hidden}) {
        fail(ErrorCode::Corrupt,
             "{}: tensor {} is {}, expected [{}, {}] for a hidden size of {}; does it belong to "
             "this model?",
             file.path(), io::printable(name), shape_text(info.shape), hidden, hidden, hidden);
    }
    const bool is_float = info.dtype == DType::F64 || info.dtype == DType::F32 ||
                          info.dtype == DType::F16 || info.dtype == DType::BF16;
    if (is_float) return;
    fail(ErrorCode::Corrupt, "{}: tensor {} has elements of {}, expected F64, F32, F16 or BF16",
         file.path(), io::printable(name), quarot::name_of(info.dtype));
}

std::vector<double> read_values(const io::SafetensorsFile& file, const io::TensorInfo& info,
                                int64_t hidden) {
    std::vector<double> values(static_cast<size_t>(hidden * hidden));
    if (info.dtype == DType::F64) {
        file.read(info, 0, std::as_writable_bytes(std::span(values)));
        return values;
    }
    const int64_t row_bytes = hidden * size_of(info.dtype);
    std::vector<std::byte> stored(static_cast<size_t>(row_bytes));
    std::vector<float> row(static_cast<size_t>(hidden));
    for (int64_t i = 0; i < hidden; ++i) {
        file.read(info, i * row_bytes, stored);
        widen(info.dtype, stored.data(), row);
        std::copy(row.begin(), row.end(), values.begin() + i * hidden);
    }
    return values;
}

void check_finite(const std::string& file, const std::string& name,
                  const std::vector<double>& values, int64_t hidden) {
    const auto bad = std::find_if(values.begin(), values.end(),
                                  [](double value) { return !std::isfinite(value); });
    if (bad == values.end()) return;
    const int64_t at = bad - values.begin();
    fail(ErrorCode::Corrupt, "{}: tensor {} has {} at row {}, column {}, expected numbers", file,
         io::printable(name), *bad, at / hidden, at % hidden);
}

[[noreturn]] void fail_not_orthogonal(const std::string& file, const std::string& name,
                                      double error) {
    fail(ErrorCode::Corrupt,
         "{}: tensor {} is not orthogonal: its product with its transpose differs from the "
         "identity by up to {:.3g}, expected at most {:g}",
         file, io::printable(name), error, kMostOrthogonalityError);
}

[[noreturn]] void fail_not_mendable(const std::string& file, const std::string& name,
                                    double error) {
    fail(ErrorCode::Corrupt,
         "{}: tensor {} cannot be made orthogonal: after {} steps its product with its transpose "
         "still differs from the identity by up to {:.3g}, expected at most {:g}; its errors are "
         "small each and large together",
         file, io::printable(name), kMostSteps, error, kRoundingOfFp64);
}

// SpinQuant's files hold a matrix for the heads of each layer, too.
void say_what_is_left(const io::SafetensorsFile& file, const std::string& name) {
    const size_t n = file.tensors().size() - 1;
    if (n == 0) return;
    log_info("of {} only tensor {} is used; its {} other tensor{} not", file.path(),
             io::printable(name), n, n == 1 ? " is" : "s are");
}

}  // namespace

ResidualMatrix read_residual_matrix(const std::string& file, int64_t hidden, ThreadPool& pool) {
    const io::SafetensorsFile stored(file);
    const Entry& entry = choose_tensor(stored);
    const auto& [name, info] = entry;
    check_shape(stored, entry, hidden);
    ResidualMatrix matrix{.sha256 = io::sha256_of_file(file),
                          .q = read_values(stored, info, hidden)};
    check_finite(file, name, matrix.q, hidden);
    double error = linalg::orthogonality_error(matrix.q, hidden, pool);
    matrix.orthogonality_error = error;
    if (!(error <= kMostOrthogonalityError)) fail_not_orthogonal(file, name, error);
    for (int step = 0; error > kRoundingOfFp64 && step < kMostSteps; ++step) {
        matrix.q = linalg::closer_to_orthogonal(matrix.q, hidden, pool);
        error = linalg::orthogonality_error(matrix.q, hidden, pool);
    }
    // So many small errors that together they are large ones.
    if (!(error <= kRoundingOfFp64)) fail_not_mendable(file, name, error);
    say_what_is_left(stored, name);
    return matrix;
}

void use_as_residual(const ResidualMatrix& matrix, Recipe& recipe) {
    const ResidualRotation now = recipe.rotation.residual;
    if (now != ResidualRotation::Hadamard) {
        fail(ErrorCode::Usage, "a file gives R1, and recipe {} has {}; let {} have r1", recipe.name,
             now == ResidualRotation::None ? "no R1" : "a random one",
             Setting{"rotation.residual"});
    }
    recipe.rotation.residual = ResidualRotation::File;
    recipe.rotation.residual_sha256 = matrix.sha256;
    recipe.name = "custom";
}

}  // namespace quarot::quantize
