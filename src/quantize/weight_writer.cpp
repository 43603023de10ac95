#include "quantize/weight_writer.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "core/error.h"
#include "core/process.h"
#include "core/setting.h"
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
        fail(ErrorCode::Numeric, "tensor {}: the value {} is more than {} holds; choose {} f32",
             name, values[i], name_of(dtype), Setting{"storage"});
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

void WeightWriter::quantized(const std::string& linear, const std::vector<NamedTensor>& tensors) {
    const std::string prefix = linear + ".";
    for (const NamedTensor& entry : tensors) {
        if (entry.name.starts_with(prefix)) shards_.append(entry.name, bytes_of(entry.tensor));
    }
}

}  // namespace quarot::quantize
