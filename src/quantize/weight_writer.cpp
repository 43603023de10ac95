#include "quantize/weight_writer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <vector>

#include "core/error.h"
#include "core/process.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

// Makes the blocks of a weight on all threads, a few at a time, and takes them in order.
template <typename Make, typename Take>
void blocks_in_order(ThreadPool& pool, int64_t n_blocks, const Make& make, const Take& take) {
    constexpr int64_t kBlocksPerThread = 4;
    const int64_t wave = kBlocksPerThread * pool.size();
    for (int64_t first = 0; first < n_blocks; first += wave) {
        throw_if_interrupted();
        const int64_t count = std::min(wave, n_blocks - first);
        std::vector<std::invoke_result_t<Make, int64_t>> blocks(count);
        pool.parallel_for(count, [&](int64_t i, int) { blocks[i] = make(first + i); });
        for (const auto& block : blocks) take(block);
    }
}

// fp32 values in the dtype that the file has for them; Error{Numeric} if one does not fit.
Tensor stored_values(const std::string& name, DType dtype, std::span<const float> values) {
    Tensor stored(dtype, {std::ssize(values)});
    narrow(dtype, values, stored.data());
    std::vector<float> back(values.size());
    widen(dtype, stored.data(), back);
    for (size_t i = 0; i < values.size(); ++i) {
        if (std::isfinite(back[i])) continue;
        fail(ErrorCode::Numeric,
             "tensor {}: the value {} is more than {} holds; choose --dtype f32", name, values[i],
             name_of(dtype));
    }
    return stored;
}

std::span<const std::byte> bytes_of(const Tensor& tensor) {
    return {tensor.data(), static_cast<size_t>(tensor.bytes())};
}

}  // namespace

void WeightWriter::vector(const std::string& name, std::span<const float> values) {
    shards_.append(name, bytes_of(stored_values(name, plan_.dtype_of.at(name), values)));
}

void WeightWriter::dense(const RotatedWeight& weight) {
    const DType dtype = plan_.dtype_of.at(weight.name());
    const auto make = [&](int64_t index) {
        return stored_values(weight.name(), dtype, weight.block(index));
    };
    blocks_in_order(pool_, weight.n_blocks(), make,
                    [&](const Tensor& block) { shards_.append(weight.name(), bytes_of(block)); });
}

WrittenWeight WeightWriter::quantized(const std::string& linear, const RotatedWeight& weight,
                                      const Quantizer& quantizer,
                                      const model::WeightFormat& format) {
    struct Block {
        QuantizedMatrix matrix;
        SquaredError error;
    };
    const WeightInputs inputs = {linear, weight.cols(), weight.cols(), {}};
    const auto prepared = quantizer.prepare(inputs, format, pool_);
    const auto make = [&](int64_t index) {
        const std::vector<float> values = weight.block(index);
        const WeightMatrix rows{values, std::ssize(values) / weight.cols(), weight.cols()};
        Block block{prepared->quantize(rows).codes, {}};
        block.error = squared_error(rows, block.matrix);
        return block;
    };
    const QuantizedNames names(linear);
    WrittenWeight written;
    SquaredError error;
    blocks_in_order(pool_, weight.n_blocks(), make, [&](const Block& block) {
        shards_.append(names.packed, bytes_of(block.matrix.packed));
        shards_.append(names.scale, bytes_of(block.matrix.scales));
        if (!format.symmetric) shards_.append(names.zero_point, bytes_of(block.matrix.zero_points));
        error += block.error;
        written.bytes += block.matrix.bytes();
    });
    const std::array<int64_t, 2> shape = {weight.rows(), weight.cols()};
    shards_.append(names.shape, std::as_bytes(std::span(shape)));
    written.relative_error = error.relative();
    return written;
}

}  // namespace quarot::quantize
