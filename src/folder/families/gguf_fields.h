// What the metadata of a GGUF file says, as the fields of the config.json that families read.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/gguf.h"
#include "io/json.h"

namespace quarot::folder {

// The numbers of one file, most of them under keys that begin with its architecture, and which
// tensors it has. Error{Corrupt} for what is of another kind, or missing where it is required.
class GgufFields {
  public:
    explicit GgufFields(const io::GgufFile& file) : file_(file), metadata_(file.metadata()) {}

    const io::GgufFile& file() const { return file_; }
    std::string key(std::string_view name) const;
    std::string place(std::string_view name) const { return metadata_.place(key(name)); }

    int64_t integer(std::string_view name) const;
    std::optional<int64_t> find_integer(std::string_view name) const;
    double real(std::string_view name) const { return metadata_.real(key(name)); }
    std::optional<double> find_real(std::string_view name) const {
        return metadata_.find_real(key(name));
    }
    std::optional<bool> find_flag(std::string_view name) const {
        return metadata_.find_flag(key(name));
    }
    int64_t n_layers() const;  // as many as a folder may have

    bool holds(std::string_view tensor) const;
    const io::GgufTensor& tensor(std::string_view name) const;
    std::vector<float> floats(std::string_view tensor) const;  // of a vector of F32

  private:
    const io::GgufFile& file_;
    const io::GgufMetadata& metadata_;
};

// The widths, counts and constants that read_common_fields reads, with RoPE, end tokens and
// whether the head is tied. Error{Corrupt} for what is missing or of another kind,
// Error{Unsupported} for factors of RoPE's frequencies that are not those of the type llama3.
io::Json common_gguf_fields(const io::GgufFile& file);

// Is it a mixture of experts? It tells Mixtral's files from Llama's, which have one architecture.
bool has_gguf_experts(const io::GgufMetadata& metadata);
// How many experts there are and how many of them a token goes to. Error{Unsupported} for routers
// and experts of other kinds.
void add_gguf_experts(const io::GgufFile& file, io::Json& config);
// Error{Unsupported} if there are any.
void refuse_gguf_experts(const io::GgufFile& file);

// Does the file name a window? It tells Mistral's from Llama's; 0 is none, as Phi-4's have it.
bool has_gguf_window(const io::GgufMetadata& metadata);
// "sliding_window", where it does.
void add_gguf_window(const io::GgufFile& file, io::Json& config);
// "layer_types": all layers slide but every period-th, or those that the file lists.
void add_gguf_sliding_layers(const io::GgufFile& file, int64_t period, io::Json& config);

// "attention_bias" and "mlp_bias", by the tensors that are there.
void add_gguf_biases(const io::GgufFile& file, io::Json& config);

// RoPE of the type longrope, where the file holds its two lists of factors.
void add_gguf_longrope(const io::GgufFile& file, io::Json& config);

// Does this tensor hold factors of RoPE, which the fields above say, and no weights?
bool is_gguf_field(std::string_view tensor);

}  // namespace quarot::folder
