// Nothing is allocated on the word of the file alone: every number is held against the file's size.
#include "io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/checked_math.h"
#include "core/error.h"
#include "io/json.h"
#include "io/limits.h"
#include "io/text.h"

namespace quarot::io {

namespace {

constexpr std::string_view kMetadataKey = "__metadata__";

constexpr std::array kSupportedDTypes = {
    DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::I16,
    DType::I8,  DType::U64, DType::U32, DType::U16,  DType::U8,  DType::Bool};

// Spellings the format defines and we do not read.
constexpr std::array<std::string_view, 9> kKnownDTypes = {"F4",          "F6_E2M3",     "F6_E3M2",
                                                          "F8_E5M2",     "F8_E4M3",     "F8_E8M0",
                                                          "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"};

// One tensor's entry while it is judged; carries what every message names.
struct Entry {
    const std::string& file;
    const std::string& tensor;
    const Json& json;
    const Json* dtype = nullptr;
    const Json* shape = nullptr;
    const Json* offsets = nullptr;

    template <typename... Args>
    [[noreturn]] void reject(ErrorCode code, fmt::format_string<Args...> format,
                             Args&&... args) const {
        fail(code, "{}: tensor {} {}", file, printable(tensor),
             fmt::format(format, std::forward<Args>(args)...));
    }
};

std::string found(const Json& json) {
    return printable(json.dump(-1));
}

Json parse_object(std::string_view text, const std::string& file) {
    // Ten values describe a tensor.
    const JsonLimits json_limits{.max_bytes = limits::kSafetensorsHeaderBytes,
                                 .max_depth = limits::kSafetensorsDepth,
                                 .max_values = 10 * limits::kSafetensorsTensors};
    Json header = Json::parse(text, file, json_limits);
    if (!header.is_object()) {
        fail(ErrorCode::Corrupt, "{} has the header {}, expected a JSON object", file,
             found(header));
    }
    if (std::ssize(header.as_object()) > limits::kSafetensorsTensors + 1) {
        fail(ErrorCode::Corrupt, "{} has {} tensors, at most {} are accepted", file,
             header.as_object().size(), limits::kSafetensorsTensors);
    }
    return header;
}

std::map<std::string, std::string> read_metadata(const std::string& file, const Json& json) {
    if (!json.is_object()) {
        fail(ErrorCode::Corrupt, "{}: __metadata__ is {}, expected an object of strings", file,
             found(json));
    }
    std::map<std::string, std::string> metadata;
    size_t bytes = 0;
    for (const auto& [key, value] : json.as_object()) {
        if (!value.is_string()) {
            fail(ErrorCode::Corrupt, "{}: __metadata__ has {} for \"{}\", expected a string", file,
                 found(value), printable(key));
        }
        bytes += key.size() + value.as_string().size();
        metadata.emplace(key, value.as_string());
    }
    if (bytes > static_cast<size_t>(limits::kSafetensorsMetadataBytes)) {
        fail(ErrorCode::Corrupt, "{}: __metadata__ has {} bytes, at most {} are accepted", file,
             bytes, limits::kSafetensorsMetadataBytes);
    }
    return metadata;
}

void check_name(const std::string& file, const std::string& name) {
    if (name.empty() || name.size() > limits::kTensorNameBytes || has_control_characters(name)) {
        fail(ErrorCode::Corrupt,
             "{}: tensor name \"{}\" has {} bytes, expected 1 to {} and no control characters",
             file, printable(name), name.size(), limits::kTensorNameBytes);
    }
}

// Exactly dtype, shape and data_offsets, in any order.
void find_members(Entry& entry) {
    if (!entry.json.is_object()) {
        entry.reject(ErrorCode::Corrupt, "is {}, expected an object", found(entry.json));
    }
    for (const auto& [key, value] : entry.json.as_object()) {
        if (key == "dtype") {
            entry.dtype = &value;
        } else if (key == "shape") {
            entry.shape = &value;
        } else if (key == "data_offsets") {
            entry.offsets = &value;
        } else {
            entry.reject(ErrorCode::Corrupt,
                         "has the key \"{}\", expected dtype, shape and data_offsets only",
                         printable(key));
        }
    }
    const char* missing = !entry.dtype     ? "dtype"
                          : !entry.shape   ? "shape"
                          : !entry.offsets ? "data_offsets"
                                           : nullptr;
    if (missing) entry.reject(ErrorCode::Corrupt, "has no {}", missing);
}

DType read_dtype(const Entry& entry) {
    if (!entry.dtype->is_string()) {
        entry.reject(ErrorCode::Corrupt, "has dtype {}, expected a string such as \"F32\"",
                     found(*entry.dtype));
    }
    const std::string& text = entry.dtype->as_string();
    for (const DType dtype : kSupportedDTypes) {
        if (name_of(dtype) == text) return dtype;
    }
    if (std::find(kKnownDTypes.begin(), kKnownDTypes.end(), text) != kKnownDTypes.end()) {
        entry.reject(ErrorCode::Unsupported,
                     "has dtype {}, which is not supported; convert the model to F32, F16 or BF16",
                     text);
    }
    entry.reject(ErrorCode::Corrupt, "has the unknown dtype \"{}\"", printable(text));
}

Shape read_shape(const Entry& entry) {
    if (!entry.shape->is_array() || entry.shape->as_array().size() > limits::kTensorRank) {
        entry.reject(ErrorCode::Corrupt, "has shape {}, expected an array of at most {} integers",
                     found(*entry.shape), limits::kTensorRank);
    }
    Shape shape;
    for (const Json& dimension : entry.shape->as_array()) {
        if (!dimension.is_int() || dimension.as_int() < 0 ||
            dimension.as_int() > limits::kTensorDimension) {
            entry.reject(ErrorCode::Corrupt, "has shape {}, expected integers from 0 to {}",
                         found(*entry.shape), limits::kTensorDimension);
        }
        shape.push_back(dimension.as_int());
    }
    return shape;
}

int64_t bytes_of_shape(const Entry& entry, DType dtype, const Shape& shape) {
    const auto elements = checked_product(shape);
    const auto bytes = elements ? checked_mul(*elements, size_of(dtype)) : std::nullopt;
    if (!bytes) {
        entry.reject(ErrorCode::Corrupt, "has shape {} of {}, more bytes than 63 bits can count",
                     found(*entry.shape), name_of(dtype));
    }
    return *bytes;
}

// Offsets count from the end of the header, as the file has them.
std::pair<int64_t, int64_t> read_offsets(const Entry& entry) {
    const Json& offsets = *entry.offsets;
    const bool two = offsets.is_array() && offsets.as_array().size() == 2;
    const auto good = [](const Json& json) { return json.is_int() && json.as_int() >= 0; };
    if (!two || !good(offsets.as_array()[0]) || !good(offsets.as_array()[1])) {
        entry.reject(ErrorCode::Corrupt, "has data_offsets {}, expected two non-negative integers",
                     found(offsets));
    }
    const int64_t begin = offsets.as_array()[0].as_int();
    const int64_t end = offsets.as_array()[1].as_int();
    if (end < begin) {
        entry.reject(ErrorCode::Corrupt, "has data_offsets [{}, {}], expected begin <= end", begin,
                     end);
    }
    return {begin, end};
}

TensorInfo read_entry(const std::string& file, const std::string& name, const Json& json,
                      int64_t data_bytes) {
    check_name(file, name);
    Entry entry{.file = file, .tensor = name, .json = json};
    find_members(entry);
    const DType dtype = read_dtype(entry);
    Shape shape = read_shape(entry);
    const int64_t bytes = bytes_of_shape(entry, dtype, shape);
    const auto [begin, end] = read_offsets(entry);
    if (end - begin != bytes) {
        entry.reject(ErrorCode::Corrupt,
                     "has data_offsets [{}, {}] of {} bytes, expected {} from {} {}", begin, end,
                     end - begin, bytes, name_of(dtype), found(*entry.shape));
    }
    if (end > data_bytes) {
        entry.reject(ErrorCode::Corrupt,
                     "has data_offsets [{}, {}], found only {} bytes of data; is the file cut?",
                     begin, end, data_bytes);
    }
    return {.dtype = dtype, .shape = std::move(shape), .offset = begin, .bytes = bytes};
}

// The tensors must cover the data from first to last byte, each byte once.
void check_layout(const std::string& file, const std::map<std::string, TensorInfo>& tensors,
                  int64_t data_bytes) {
    using Named = std::map<std::string, TensorInfo>::value_type;
    std::vector<const Named*> order;
    order.reserve(tensors.size());
    for (const auto& tensor : tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const Named* a, const Named* b) {
        return std::pair(a->second.offset, a->second.bytes) <
               std::pair(b->second.offset, b->second.bytes);
    });
    int64_t covered = 0;
    for (const Named* tensor : order) {
        const int64_t begin = tensor->second.offset;
        if (begin != covered) {
            fail(ErrorCode::Corrupt,
                 "{}: tensor {} begins at data byte {}, expected {}: tensors {}", file,
                 printable(tensor->first), begin, covered,
                 begin < covered ? "overlap" : "leave a gap");
        }
        covered += tensor->second.bytes;
    }
    if (covered != data_bytes) {
        fail(ErrorCode::Corrupt, "{} has {} bytes of data, its tensors cover only {}", file,
             data_bytes, covered);
    }
}

}  // namespace

int64_t safetensors_header_bytes(const SafetensorsLength& stored, int64_t file_bytes,
                                 const std::string& source) {
    uint64_t length = 0;
    for (size_t i = stored.size(); i-- > 0;) {
        length = length << 8 | std::to_integer<uint8_t>(stored[i]);
    }
    if (length == 0) {
        fail(ErrorCode::Corrupt, "{} has a header of 0 bytes, expected a JSON object", source);
    }
    if (length > static_cast<uint64_t>(limits::kSafetensorsHeaderBytes)) {
        fail(ErrorCode::Corrupt, "{} announces a header of {} bytes, at most {} are accepted",
             source, length, limits::kSafetensorsHeaderBytes);
    }
    const int64_t left = file_bytes - kSafetensorsLengthBytes;
    if (static_cast<int64_t>(length) > left) {
        fail(ErrorCode::Corrupt,
             "{} announces a header of {} bytes, found only {} after its length; is the file cut?",
             source, length, left);
    }
    return static_cast<int64_t>(length);
}

SafetensorsHeader parse_safetensors_header(std::string_view text, int64_t file_bytes,
                                           const std::string& source) {
    const int64_t data_start = kSafetensorsLengthBytes + std::ssize(text);
    const int64_t data_bytes = file_bytes - data_start;
    const Json json = parse_object(text, source);
    SafetensorsHeader header;
    for (const auto& [name, value] : json.as_object()) {
        if (name == kMetadataKey) {
            header.metadata = read_metadata(source, value);
        } else {
            header.tensors.emplace(name, read_entry(source, name, value, data_bytes));
        }
    }
    check_layout(source, header.tensors, data_bytes);
    for (auto& [name, info] : header.tensors) info.offset += data_start;
    return header;
}

}  // namespace quarot::io
