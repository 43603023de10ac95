// Digests of all tensors of a model, one line each: the name and the SHA-256 of the values.
//   gguf_driver stored FILE    a GGUF file's own names, values as fp32
//   gguf_driver folder MODEL   the names of a model folder, values rounded to bf16; MODEL is a
//   folder
//                              or a GGUF file
#include <fmt/format.h>

#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "folder/gguf_model.h"
#include "io/checkpoint.h"
#include "io/gguf.h"
#include "io/hash.h"
#include "tensor/float_convert.h"

namespace quarot::test {
namespace {

template <typename T>
std::string digest(const std::vector<T>& values) {
    return io::sha256_of_text(
        {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
}

std::vector<float> widened(const Tensor& tensor) {
    std::vector<float> values(static_cast<size_t>(element_count(tensor.shape())));
    widen(tensor.dtype(), tensor.data(), values);
    return values;
}

void print_stored(const std::string& path) {
    const io::GgufFile file(path);
    for (const auto& [name, stored] : file.tensors()) {
        Tensor tensor(stored.type->dtype, stored.shape);
        file.read_rows(stored, 0, stored.shape.front(),
                       {tensor.data(), static_cast<size_t>(tensor.bytes())});
        fmt::print("{} {}\n", name, digest(widened(tensor)));
    }
}

void print_folder(const std::string& path) {
    const io::Checkpoint checkpoint = io::is_gguf_file(path)
                                          ? folder::open_gguf_model(path).checkpoint
                                          : io::Checkpoint::open(path);
    for (const std::string& name : checkpoint.names()) {
        const std::vector<float> values = widened(checkpoint.read(name));
        std::vector<uint16_t> rounded(values.size());
        narrow(DType::BF16, values, rounded.data());
        fmt::print("{} {}\n", name, digest(rounded));
    }
}

int run(std::span<char*> arguments) {
    if (arguments.size() != 3) return 2;
    const std::string_view mode = arguments[1];
    try {
        mode == "stored" ? print_stored(arguments[2]) : print_folder(arguments[2]);
        return 0;
    } catch (const Error& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}

}  // namespace
}  // namespace quarot::test

int main(int argc, char** argv) {
    return quarot::test::run({argv, static_cast<size_t>(argc)});
}
