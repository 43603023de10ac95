// Inputs made from seeds, the run of a case, and how far its results may be apart.
#include "backend/linear_case.h"

#include <fmt/format.h>

namespace quarot::backend_test {

using namespace kernels;

namespace {

std::string describe(const LinearCase& c, uint32_t seed) {
    return fmt::format(
        "seed {}: {} x {} -> {}, W {} bits group {} symmetric {} {}, A {} bits group {} symmetric "
        "{} {}, temper {}, bias {}, accumulate {}",
        seed, c.shape.rows, c.shape.in, c.shape.out, c.weights.bits, c.weights.group_size,
        c.weights.symmetric, name_of(c.weights.dtype), c.activations.bits, c.activations.group_size,
        c.activations.symmetric, c.activations.zero == ZeroPoint::Real ? "real" : "integer",
        static_cast<int>(c.temper), c.bias, c.accumulate);
}

struct Inputs {
    Matrix in;
    LinearWeights weights;
    Matrix before;  // what `out` holds when products are added to it
};

void make_extreme(QuantizedMatrix& m, bool symmetric) {
    const uint8_t stored = static_cast<uint8_t>(symmetric ? 0 : (1 << m.bits) - 1);
    const std::vector<uint8_t> row(static_cast<size_t>(m.cols), stored);
    for (int64_t r = 0; r < m.rows; ++r) {
        m.pack_row(r, row);
    }
    if (symmetric) return;
    for (int64_t i = 0; i < m.rows * m.n_groups(); ++i) m.zero_points.as<uint8_t>()[i] = 0;
}

// Equal for equal seeds; made anew for every backend because weights are handed over.
Inputs make_inputs(const LinearCase& c, uint32_t seed) {
    Rng rng(seed);
    Inputs inputs;
    inputs.in = make_matrix(c.temper, c.shape.rows, c.shape.in, rng);
    if (c.weights.bits == 16) {
        inputs.weights.matrix = random_dense(c.shape.out, c.shape.in, c.weights.dtype, rng);
    } else {
        inputs.weights.matrix = random_quantized(c.shape.out, c.shape.in, c.weights.bits,
                                                 c.weights.group_size, c.weights.symmetric, rng);
    }
    if (c.weights.all_extreme) {
        make_extreme(std::get<QuantizedMatrix>(inputs.weights.matrix), c.weights.symmetric);
    }
    if (c.bias) inputs.weights.bias = normal_vector(c.shape.out, rng);
    inputs.weights.activation_group = c.activations.corrected_group();
    inputs.before = normal_matrix(c.shape.rows, c.shape.out, rng);
    return inputs;
}

Matrix run(Backend& backend, const LinearCase& c, uint32_t seed) {
    Inputs inputs = make_inputs(c, seed);
    Bench bench(backend);
    const auto linear = backend.prepare_linear(std::move(inputs.weights));
    Operand in{bench.upload(inputs.in, c.shape.rows == 3 ? 8 : 0)};
    if (c.activations.bits != 16) in.rows = bench.quantize(inputs.in, c.activations);
    const Rows out =
        c.accumulate ? bench.upload(inputs.before, 3) : bench.blank(c.shape.rows, c.shape.out, 3);
    backend.linear({.in = in, .weight = *linear, .out = out, .accumulate = c.accumulate});
    return bench.download(out);
}

// Sum of |x w| of every output, from the values that are multiplied, plus |bias| and |before|.
Matrix norms(Backend& reference, const LinearCase& c, uint32_t seed) {
    Inputs inputs = make_inputs(c, seed);
    Matrix x = inputs.in, w;
    if (c.activations.bits != 16) {
        Bench bench(reference);
        const Codes codes = bench.download(bench.quantize(inputs.in, c.activations));
        const int64_t group = c.activations.group_size == 0 ? c.shape.in : c.activations.group_size;
        for (size_t i = 0; i < x.values.size(); ++i) {
            const size_t g = i / static_cast<size_t>(group);
            const int offset = codes.offsets.empty() ? 0 : codes.offsets[g];
            x.values[i] = codes.scales[g] * static_cast<float>(codes.codes[i] - offset);
            // The products with codes and with bases are rounded apart from one another.
            if (!codes.bases.empty()) {
                x.values[i] = std::fabs(x.values[i]) + std::fabs(codes.bases[g]);
            }
        }
    }
    if (const auto* q = std::get_if<QuantizedMatrix>(&inputs.weights.matrix)) {
        w = Matrix(c.shape.out, c.shape.in);
        for (int64_t r = 0; r < w.rows; ++r) {
            q->dequantize_row(r, {w.row(r), static_cast<size_t>(w.cols)});
        }
    } else {
        w = values_of(*std::get<std::shared_ptr<const Tensor>>(inputs.weights.matrix));
    }
    Matrix out(c.shape.rows, c.shape.out);
    for (int64_t r = 0; r < out.rows; ++r) {
        for (int64_t o = 0; o < out.cols; ++o) {
            double sum = std::fabs(inputs.before.row(r)[o]);
            for (int64_t k = 0; k < x.cols; ++k) sum += std::fabs(1.0 * x.row(r)[k] * w.row(o)[k]);
            if (c.bias) sum += std::fabs(inputs.weights.bias[static_cast<size_t>(o)]);
            out.row(r)[o] = static_cast<float>(sum);
        }
    }
    return out;
}

}  // namespace

bool LinearConformance::check(const LinearCase& c) {
    const uint32_t seed = ++seed_;
    SCOPED_TRACE(describe(c, seed));
    const auto result = unless_unsupported([&] { return run(*subject_, c, seed); });
    if (!result) return true;
    const Matrix expected = run(*reference_, c, seed);
    const Matrix& actual = *result;
    if (c.weights.bits != 16 && c.activations.bits != 16) {
        EXPECT_TRUE(same(expected.values, actual.values));
    } else {
        const Matrix norm = norms(*reference_, c, seed);
        EXPECT_TRUE(near(expected.values, actual.values,
                         [&](size_t i) { return dot_limit(c.shape.in, norm.values[i]); }));
    }
    return !HasFailure();
}

}  // namespace quarot::backend_test
