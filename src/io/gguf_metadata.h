// What a GGUF file says about its model beside the tensors: values under dotted keys.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace quarot::io {

// Numbers of 32-bit floats are the shortest decimals that round to them, as their makers wrote
// them (1e-05); those of arrays are the floats themselves.
using GgufValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>,
                               std::vector<double>, std::vector<std::string>>;

class GgufMetadata {
  public:
    // Error{Corrupt} naming the key if it is there already.
    void add(std::string key, GgufValue value);
    void set_source(std::string source) { source_ = std::move(source); }

    const std::string& source() const { return source_; }  // the file, for messages
    bool contains(std::string_view key) const { return values_.contains(key); }
    // Neither a list of them nor a flag.
    bool holds_integer(std::string_view key) const {
        const auto found = values_.find(key);
        return found != values_.end() && std::holds_alternative<int64_t>(found->second);
    }
    // "model.gguf: llama.block_count", for messages.
    std::string place(std::string_view key) const;

    // Error{Corrupt} naming file and key for a value of another kind or outside its range; the
    // first of each pair also if there is none.
    int64_t integer(std::string_view key, int64_t min, int64_t max) const;
    std::optional<int64_t> find_integer(std::string_view key, int64_t min, int64_t max) const;
    double real(std::string_view key) const;  // finite; integers too
    std::optional<double> find_real(std::string_view key) const;
    const std::string& text(std::string_view key) const;
    const std::string* find_text(std::string_view key) const;
    const std::vector<std::string>& texts(std::string_view key) const;
    std::optional<bool> find_flag(std::string_view key) const;
    const std::vector<int64_t>* find_integers(std::string_view key) const;
    const std::vector<double>* find_reals(std::string_view key) const;

  private:
    template <typename T>
    const T* find(std::string_view key, const char* expected) const;
    [[noreturn]] void fail_missing(std::string_view key) const;
    std::string source_;
    std::map<std::string, GgufValue, std::less<>> values_;
};

// Whether `path` is to be read as a GGUF file rather than as a folder: a file that is named so or
// begins so.
bool is_gguf_file(const std::string& path);

// Of a file whose whole header is judged; errors as those of io::GgufFile.
GgufMetadata read_gguf_metadata(const std::string& path);

}  // namespace quarot::io
