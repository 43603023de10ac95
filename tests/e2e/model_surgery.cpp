#include "e2e/model_surgery.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <sstream>
#include <vector>

#include "core/error.h"
#include "io/safetensors.h"

namespace quarot::test {

namespace {

constexpr size_t kLengthBytes = 8;

uint64_t header_length(const std::string& file) {
    uint64_t length = 0;
    std::memcpy(&length, file.data(), kLengthBytes);
    return length;
}

std::string length_field(uint64_t length) {
    std::string bytes(kLengthBytes, '\0');
    std::memcpy(bytes.data(), &length, kLengthBytes);
    return bytes;
}

std::string header_of(const std::string& file) {
    return file.substr(kLengthBytes, static_cast<size_t>(header_length(file)));
}

}  // namespace

std::string read_bytes(const std::string& path) {
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
}

void write_bytes(const std::string& path, const std::string& bytes) {
    std::ofstream file(path, std::ios::binary);
    file << bytes;
    if (!file.flush()) fail(ErrorCode::Io, "cannot write {}", path);
}

void remove_file(const std::string& path) {
    if (!std::filesystem::remove(path)) fail(ErrorCode::NotFound, "{} is not there", path);
}

void truncate_by(const std::string& path, int64_t n) {
    const auto size = static_cast<int64_t>(std::filesystem::file_size(path));
    std::filesystem::resize_file(path, static_cast<uintmax_t>(size - n));
}

void edit_json(const std::string& path, const std::function<void(io::Json&)>& change) {
    io::Json json = io::Json::parse_file(path);
    change(json);
    write_bytes(path, json.dump());
}

void edit_header(const std::string& path, const std::function<void(io::Json&)>& change) {
    io::Json header = io::Json::parse(header_of(read_bytes(path)), path);
    change(header);
    replace_header(path, header.dump(-1));
}

void replace_header(const std::string& path, const std::string& header) {
    const std::string file = read_bytes(path);
    const std::string data = file.substr(kLengthBytes + static_cast<size_t>(header_length(file)));
    write_bytes(path, length_field(header.size()) + header + data);
}

void set_header_length(const std::string& path, uint64_t length) {
    std::string file = read_bytes(path);
    file.replace(0, kLengthBytes, length_field(length));
    write_bytes(path, file);
}

void overwrite_tensor(const std::string& path, const std::string& tensor, int64_t offset,
                      const std::string& bytes) {
    std::string file = read_bytes(path);
    const io::Json header = io::Json::parse(header_of(file), path);
    const int64_t begin = header.at(tensor).at("data_offsets").as_array().at(0).as_int();
    const size_t at = kLengthBytes + static_cast<size_t>(header_length(file)) +
                      static_cast<size_t>(begin + offset);
    file.replace(at, bytes.size(), bytes);
    write_bytes(path, file);
}

void write_r1(const std::string& file, float scale) {
    constexpr unsigned kOrder = 32;
    std::vector<float> values;
    for (unsigned i = 0; i < kOrder * kOrder; ++i) {
        const bool odd = std::popcount((i / kOrder) & (i % kOrder)) % 2 == 1;
        values.push_back((odd ? -scale : scale) / std::sqrt(static_cast<float>(kOrder)));
    }
    io::SafetensorsWriter writer(file, {{"R1", DType::F32, {kOrder, kOrder}}});
    writer.write("R1", 0, std::as_bytes(std::span(values)));
    writer.finish();
}

}  // namespace quarot::test
