// Writing a safetensors file whose header is final before the first tensor is known.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include "core/check.h"
#include "core/checked_math.h"
#include "io/json.h"
#include "io/output_file.h"
#include "io/safetensors.h"

namespace quarot::io {

namespace {

constexpr int64_t kLengthBytes = 8;

struct Slot {
    int64_t offset = 0;  // in the file
    int64_t bytes = 0;
    int64_t written = 0;
};

int64_t bytes_of(const PlannedTensor& tensor) {
    const auto elements = checked_product(tensor.shape);
    const auto bytes = elements ? checked_mul(*elements, size_of(tensor.dtype)) : std::nullopt;
    QUAROT_CHECK(bytes.has_value(), "tensor {}", tensor.name);
    return *bytes;
}

Json entry_of(const PlannedTensor& tensor, int64_t begin, int64_t end) {
    Json::Array shape(tensor.shape.begin(), tensor.shape.end());
    Json entry;
    entry.set("dtype", std::string(name_of(tensor.dtype)));
    entry.set("shape", std::move(shape));
    entry.set("data_offsets", Json::Array{begin, end});
    return entry;
}

// Length and padded JSON, the first bytes of the file.
std::string header_of(const std::vector<PlannedTensor>& tensors,
                      const std::map<std::string, std::string>& more) {
    Json metadata;
    metadata.set("format", "pt");
    for (const auto& [key, value] : more) metadata.set(key, value);
    Json::Object header{{"__metadata__", metadata}};
    int64_t begin = 0;
    for (const PlannedTensor& tensor : tensors) {
        const int64_t end = begin + bytes_of(tensor);
        header.emplace_back(tensor.name, entry_of(tensor, begin, end));
        begin = end;
    }
    std::string json = Json(std::move(header)).dump(-1);
    json.resize(static_cast<size_t>(round_up(std::ssize(json), kLengthBytes)), ' ');
    std::string length;
    for (int i = 0; i < kLengthBytes; ++i) {
        length += static_cast<char>(static_cast<uint8_t>(json.size() >> (8 * i)));
    }
    return length + json;
}

}  // namespace

struct SafetensorsWriter::Impl {
    explicit Impl(const std::string& path) : file(path) {}

    OutputFile file;
    std::mutex mutex;  // guards Slot::written
    std::map<std::string, Slot> slots;
};

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<PlannedTensor> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : impl_(std::make_unique<Impl>(path)) {
    std::sort(tensors.begin(), tensors.end(),
              [](const PlannedTensor& a, const PlannedTensor& b) { return a.name < b.name; });
    const std::string header = header_of(tensors, metadata);
    int64_t offset = std::ssize(header);
    for (const PlannedTensor& tensor : tensors) {
        const Slot slot{.offset = offset, .bytes = bytes_of(tensor)};
        const bool is_new = impl_->slots.emplace(tensor.name, slot).second;
        QUAROT_CHECK(is_new, "tensor {} is planned twice", tensor.name);
        offset += slot.bytes;
    }
    impl_->file.reserve(offset);
    impl_->file.write(0, std::as_bytes(std::span(header)));
}

SafetensorsWriter::~SafetensorsWriter() = default;
SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&&) noexcept = default;

void SafetensorsWriter::write(const std::string& name, int64_t first,
                              std::span<const std::byte> data) {
    const auto found = impl_->slots.find(name);
    QUAROT_CHECK(found != impl_->slots.end(), "tensor {} is not planned", name);
    Slot& slot = found->second;
    QUAROT_CHECK(first >= 0 && first <= slot.bytes && std::ssize(data) <= slot.bytes - first,
                 "tensor {}: bytes [{}, +{}) of {}", name, first, data.size(), slot.bytes);
    impl_->file.write(slot.offset + first, data);
    const std::lock_guard lock(impl_->mutex);
    slot.written += std::ssize(data);
}

void SafetensorsWriter::finish() {
    for (const auto& [name, slot] : impl_->slots) {
        QUAROT_CHECK(slot.written == slot.bytes, "tensor {}: {} of {} bytes written", name,
                     slot.written, slot.bytes);
    }
    impl_->file.finish();
}

}  // namespace quarot::io
