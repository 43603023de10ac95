#include "cuda/linear_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/float_convert.h"
#include "tensor/quantized_matrix.h"

namespace quarot::cuda_test {

using namespace kernels::cuda;

namespace {

constexpr std::byte kUntouched{0xA5};

int64_t group_of(int64_t group_size, int64_t cols) {
    return group_size == 0 ? cols : group_size;
}

int random_code(std::mt19937& random, int bits, bool extreme) {
    const int largest = (1 << bits) - 1;
    if (extreme) return random() % 2 == 0 ? 0 : largest;
    return static_cast<int>(random() % static_cast<uint32_t>(largest + 1));
}

std::vector<float> random_floats(std::mt19937& random, int64_t n, float lo, float hi) {
    std::uniform_real_distribution<float> uniform(lo, hi);
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) value = uniform(random);
    return values;
}

}  // namespace

std::string describe(const LinearForm& f) {
    return fmt::format(
        "{} tokens, {} x {}, W{} group {} {}, A{} group {}{}{}{}{}{}, out {} + {}{}", f.tokens,
        f.rows, f.cols, f.weight_bits, f.weight_group, f.weight_symmetric ? "symmetric" : "zeros",
        f.activation_bits, f.activation_group, f.offsets ? " offsets" : "", f.bases ? " bases" : "",
        f.multiples ? " multiples" : "", f.bias ? " bias" : "", f.accumulate ? " accumulate" : "",
        name_of(f.out), f.padding, f.extreme ? " extreme" : "");
}

LinearCase::LinearCase(const LinearForm& form, uint32_t seed)
    : form_(form), out_(form.tokens * (form.rows + form.padding) * size_of(form.out)) {
    std::mt19937 random(seed);
    make_weights(random);
    make_activations(random);
    if (form.multiples) make_multiples(random);
    if (form.bias) {
        bias_ = random_floats(random, form.rows, -4.0f, 4.0f);
        product_.bias = memory_.emplace_back(upload(bias_)).as<float>();
    }
    if (form.accumulate) {
        before_ = random_floats(random, form.tokens * out_stride(), -8.0f, 8.0f);
        std::vector<std::byte> narrow_bytes(static_cast<size_t>(out_.bytes()));
        narrow(form.out, before_, narrow_bytes.data());
        widen(form.out, narrow_bytes.data(), before_);
    }
    product_.out = out_.data();
    product_.out_dtype = form.out;
    product_.out_stride = out_stride();
    product_.accumulate = form.accumulate;
}

void LinearCase::make_weights(std::mt19937& random) {
    const LinearForm& f = form_;
    QuantizedMatrix matrix =
        make_quantized_matrix(f.rows, f.cols, f.weight_bits, f.weight_group, f.weight_symmetric);
    const int64_t group = group_of(f.weight_group, f.cols), n_groups = f.cols / group;
    weight_scales_ = random_floats(random, f.rows * n_groups, 0.001f, 0.1f);
    for (size_t i = 0; i < weight_scales_.size(); ++i) {
        if (f.half_scales) weight_scales_[i] = f16_to_f32(f32_to_f16(weight_scales_[i]));
        if (i / static_cast<size_t>(n_groups) % 3 == 0) weight_scales_[i] *= f.third_scale;
    }
    std::vector<int32_t> zeros(weight_scales_.size(), 1 << (f.weight_bits - 1));
    if (!f.weight_symmetric) {
        for (int32_t& zero : zeros) zero = random_code(random, f.weight_bits, false);
        if (f.largest != 0) std::ranges::fill(zeros, 0);
    }
    weights_.resize(static_cast<size_t>(f.rows * f.cols));
    std::vector<uint8_t> codes(static_cast<size_t>(f.cols));
    for (int64_t r = 0; r < f.rows; ++r) {
        for (int64_t c = 0; c < f.cols; ++c) {
            const int code = f.largest != 0 ? (1 << f.weight_bits) - 1
                                            : random_code(random, f.weight_bits, f.extreme);
            codes[static_cast<size_t>(c)] = static_cast<uint8_t>(code);
            weights_[static_cast<size_t>(r * f.cols + c)] =
                static_cast<int16_t>(code - zeros[static_cast<size_t>(r * n_groups + c / group)]);
        }
        matrix.pack_row(r, codes);
    }
    const WeightShape shape = {f.rows, f.cols, f.weight_bits, f.weight_group, f.weight_symmetric};
    Memory& packed = memory_.emplace_back(weight_bytes(shape));
    product_.weight = place_weights(packed.data(), shape);
    const int64_t words = matrix.packed.bytes() / 4;
    const auto* first = reinterpret_cast<const uint32_t*>(matrix.packed.data());
    const Memory canonical = upload(std::vector<uint32_t>(first, first + words));
    const Memory scales = upload(weight_scales_), zero_points = upload(zeros);
    pack_weights({.packed = canonical.as<uint32_t>(),
                  .scales = scales.as<float>(),
                  .zeros = zero_points.as<int32_t>(),
                  .first = 0,
                  .count = f.rows},
                 product_.weight, nullptr);
    synchronize();
}

void LinearCase::make_activations(std::mt19937& random) {
    const LinearForm& f = form_;
    const int64_t group = group_of(f.activation_group, f.cols), n_groups = f.cols / group;
    const int64_t stride = activation_stride(f.cols);
    const int bias = code_bias(f.activation_bits);
    activation_scales_ = random_floats(random, f.tokens * n_groups, 0.001f, 0.1f);
    std::vector<int32_t> offsets(activation_scales_.size(), 0), sums(offsets);
    if (f.offsets) {
        // A row's range includes 0, so its offset is a code; a group's may be any 16-bit number.
        for (int32_t& offset : offsets) {
            offset = random_code(random, f.activation_group == 0 ? f.activation_bits : 15, false) -
                     (f.activation_group == 0 ? bias : 1 << 14);
        }
    }
    if (f.bases) bases_ = random_floats(random, f.tokens * n_groups, -2.0f, 2.0f);
    activations_.resize(static_cast<size_t>(f.tokens * f.cols));
    std::vector<uint8_t> codes(static_cast<size_t>(f.tokens * stride), 0);
    for (int64_t t = 0; t < f.tokens; ++t) {
        for (int64_t c = 0; c < f.cols; ++c) {
            const int stored = random_code(random, f.activation_bits, f.extreme);
            const auto g = static_cast<size_t>(t * n_groups + c / group);
            codes[static_cast<size_t>(code_offset(f.tokens, stride, t, c))] =
                static_cast<uint8_t>(stored);
            sums[g] += stored - bias;
            activations_[static_cast<size_t>(t * f.cols + c)] =
                static_cast<int16_t>(stored - bias - offsets[g]);
        }
    }
    ActivationView& in = product_.in;
    in = {.rows = f.tokens,
          .cols = f.cols,
          .stride = stride,
          .bits = f.activation_bits,
          .group_size = f.activation_group};
    in.codes = memory_.emplace_back(upload(codes)).as<uint8_t>();
    in.scales = memory_.emplace_back(upload(activation_scales_)).as<float>();
    in.row_sums = memory_.emplace_back(upload(sums)).as<int32_t>();
    if (f.offsets) in.offsets = memory_.emplace_back(upload(offsets)).as<int32_t>();
    if (f.bases) in.bases = memory_.emplace_back(upload(bases_)).as<float>();
}

void LinearCase::make_multiples(std::mt19937& random) {
    const LinearForm& f = form_;
    const int64_t stride = activation_stride(f.cols);
    const int planes = multiple_planes(f.activation_bits);
    std::vector<uint8_t> bytes(static_cast<size_t>(f.tokens * stride * planes), 0);
    multiples_.resize(static_cast<size_t>(f.tokens * f.cols));
    for (int64_t t = 0; t < f.tokens; ++t) {
        const bool wide = f.wide > 0 && t % f.wide == 0;
        units_.push_back({random_floats(random, 1, 0.001f, 0.1f)[0], wide ? 3 : 2});
        const int bits = wide ? 8 : 4, largest = 255 * ((1 << bits) - 1);
        const auto put = [&](int64_t c, int plane, int32_t byte) {
            bytes[static_cast<size_t>(multiple_offset(f.tokens, stride, planes, t, c, plane))] =
                static_cast<uint8_t>(byte);
        };
        for (int64_t c = 0; c < f.cols; ++c) {
            const int lowest = -255 * (1 << bits);
            int32_t v = lowest + static_cast<int32_t>(random() %
                                                      static_cast<uint32_t>(largest - lowest + 1));
            if (f.extreme) v = random() % 2 == 0 ? lowest : largest;
            if (f.largest != 0) v = f.largest > 0 ? largest : lowest;
            const int32_t b = static_cast<int8_t>(v), a = (v - b) / 256;
            const int32_t byte = std::clamp(a, -128, 127);
            put(c, 0, b);
            put(c, 1, byte);
            if (wide) put(c, 2, a - byte);
            multiples_[static_cast<size_t>(t * f.cols + c)] = v;
        }
    }
    product_.in.multiples = memory_.emplace_back(upload(bytes)).as<uint8_t>();
    product_.in.row_units = memory_.emplace_back(upload(units_)).as<RowUnit>();
}

int LinearCase::stored_weight(int64_t row, int64_t col) const {
    return weights_[static_cast<size_t>(row * form_.cols + col)] + (1 << (form_.weight_bits - 1));
}

void LinearCase::share_input(const LinearCase& other) {
    product_.in = other.product_.in;
    activations_ = other.activations_;
    activation_scales_ = other.activation_scales_;
    bases_ = other.bases_;
    multiples_ = other.multiples_;
    units_ = other.units_;
}

void LinearCase::clear_output() {
    out_.poison();
    if (!form_.accumulate) return;
    std::vector<std::byte> bytes(static_cast<size_t>(out_.bytes()));
    narrow(form_.out, before_, bytes.data());
    out_.upload(bytes.data());
}

std::vector<std::byte> LinearCase::output_bytes() const {
    return download<std::byte>(out_);
}

std::vector<std::byte> LinearCase::run(LinearKernel kernel) {
    clear_output();
    multiply(product_, kernel, nullptr);
    synchronize();
    return output_bytes();
}

float LinearCase::output(int64_t token, int64_t row) const {
    const LinearForm& f = form_;
    const int64_t a_group = group_of(f.activation_group, f.cols);
    const int64_t w_group = group_of(f.weight_group, f.cols);
    const int16_t* a = activations_.data() + token * f.cols;
    const int16_t* w = weights_.data() + row * f.cols;
    float y = 0.0f;
    for (int64_t start = 0; start < f.cols;) {
        const int64_t end =
            std::min({(start / a_group + 1) * a_group, (start / w_group + 1) * w_group});
        int64_t sum = 0, w_sum = 0;
        for (int64_t from = start; from < end;) {
            const int64_t to = std::min(from + 128, end);
            int32_t part = 0;
            for (int64_t c = from; c < to; ++c) part += int32_t{a[c]} * int32_t{w[c]};
            for (int64_t c = from; c < to; ++c) w_sum += w[c];
            sum += part;
            from = to;
        }
        const auto ga = static_cast<size_t>(token * (f.cols / a_group) + start / a_group);
        const float scale_w =
            weight_scales_[static_cast<size_t>(row * (f.cols / w_group) + start / w_group)];
        float part = (static_cast<float>(sum) * scale_w) * activation_scales_[ga];
        if (f.bases) part += (static_cast<float>(w_sum) * scale_w) * bases_[ga];
        y += part;
        start = end;
    }
    return y + (f.bias ? bias_[static_cast<size_t>(row)] : 0.0f);
}

float LinearCase::output_of_multiples(int64_t token, int64_t row) const {
    const LinearForm& f = form_;
    const int64_t group = f.weight_group == 0 ? 128 : f.weight_group;
    const int64_t n_groups = f.weight_group == 0 ? 1 : f.cols / group;
    const int32_t* v = multiples_.data() + token * f.cols;
    const int16_t* w = weights_.data() + row * f.cols;
    float y = 0.0f, segment = 0.0f;
    for (int64_t first = 0; first < f.cols; first += group) {
        int32_t sum = 0;
        for (int64_t c = first; c < std::min(first + group, f.cols); ++c) sum += v[c] * w[c];
        const int64_t at = row * n_groups + (f.weight_group == 0 ? 0 : first / group);
        segment =
            std::fma(static_cast<float>(sum), weight_scales_[static_cast<size_t>(at)], segment);
        if ((first + group) % 512 > 0 && first + group < f.cols) continue;
        y += segment;
        segment = 0.0f;
    }
    return y * units_[static_cast<size_t>(token)].unit +
           (f.bias ? bias_[static_cast<size_t>(row)] : 0.0f);
}

std::vector<std::byte> LinearCase::expected() const {
    std::vector<std::byte> bytes(static_cast<size_t>(out_.bytes()), kUntouched);
    if (form_.accumulate) narrow(form_.out, before_, bytes.data());
    std::vector<float> line(static_cast<size_t>(form_.rows));
    for (int64_t t = 0; t < form_.tokens; ++t) {
        for (int64_t r = 0; r < form_.rows; ++r) {
            const float y = form_.multiples ? output_of_multiples(t, r) : output(t, r);
            line[static_cast<size_t>(r)] =
                form_.accumulate ? before_[static_cast<size_t>(t * out_stride() + r)] + y : y;
        }
        narrow(form_.out, line, bytes.data() + t * out_stride() * size_of(form_.out));
    }
    return bytes;
}

}  // namespace quarot::cuda_test
