// A whole GGUF file as a model: the tokenizer that its vocabulary makes, or its config and tensors
// as a folder has them.
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "folder/folder_config.h"
#include "folder/gguf_model.h"
#include "fuzz/target.h"
#include "io/gguf_metadata.h"
#include "io/handmade_gguf.h"
#include "tokenizer/tokenizer.h"

namespace quarot::fuzz {
namespace {

using io::gguf_f32, io::gguf_f32s, io::gguf_i32s, io::gguf_text, io::gguf_texts, io::gguf_u32;
using io::HandmadeGguf;

// A file without a place on disk.
class MemoryFile {
  public:
    explicit MemoryFile(std::string_view bytes) : fd_(::memfd_create("gguf", 0)) {
        expect(fd_ >= 0 &&
                   ::write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
               "no file in memory");
    }
    ~MemoryFile() { ::close(fd_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

  private:
    int fd_;
};

void run_tokenizer(const std::string& path) {
    const tokenizer::Tokenizer tokenizer = tokenizer::Tokenizer::load(path);
    const std::vector<int32_t> ids = tokenizer.encode("ab a12<s> \xc3\xa9");
    for (const int32_t id : ids) {
        expect(id >= 0 && id < tokenizer.vocabulary_size(), "an id beyond the vocabulary");
    }
    tokenizer.decode(ids);
}

void run_model(const std::string& path) {
    const folder::GgufModel model = folder::open_gguf_model(path);
    folder::read_folder_config(model.config);
    for (const std::string& name : model.checkpoint.names()) {
        const io::TensorInfo& info = model.checkpoint.info(name);
        const Tensor whole = model.checkpoint.read(name);
        expect(whole.bytes() == info.bytes, "a tensor is not as long as it says");
        const int64_t last = info.shape.front() - 1;
        const Tensor row = model.checkpoint.read_rows(name, last, 1);
        expect(std::equal(row.data(), row.data() + row.bytes(),
                          whole.data() + whole.bytes() - row.bytes()),
               "a row reads otherwise alone");
    }
}

void run(std::string_view input) {
    const MemoryFile file(input);
    const bool has_vocabulary =
        io::read_gguf_metadata(file.path()).contains("tokenizer.ggml.model");
    has_vocabulary ? run_tokenizer(file.path()) : run_model(file.path());
}

std::string numbers(size_t n) {
    std::string bytes;
    for (size_t i = 0; i < n; ++i) bytes += io::bytes_of(static_cast<float>(i));
    return bytes;
}

HandmadeGguf model(const std::string& architecture) {
    HandmadeGguf file;
    file.set("general.architecture", gguf_text(architecture));
    const auto set = [&](const std::string& key, uint32_t value) {
        file.set(architecture + "." + key, gguf_u32(value));
    };
    set("context_length", 8);
    set("embedding_length", 4);
    set("block_count", 1);
    set("feed_forward_length", 2);
    set("attention.head_count", 1);
    file.set(architecture + ".attention.layer_norm_rms_epsilon", gguf_f32(1e-5f));
    file.tensors = {{"token_embd.weight", {4, 3}, 0, numbers(12)},
                    {"output_norm.weight", {4}, 0, numbers(4)},
                    {"blk.0.attn_q.weight", {4, 4}, 0, numbers(16)},
                    {"blk.0.attn_k.bias", {4}, 0, numbers(4)},
                    {"blk.0.ffn_up.weight", {32, 2}, 8, std::string(68, '\x3c')}};
    return file;
}

HandmadeGguf vocabulary(const std::string& kind, const std::string& pre) {
    HandmadeGguf file;
    file.set("tokenizer.ggml.model", gguf_text(kind));
    file.set("tokenizer.ggml.pre", gguf_text(pre));
    file.set("tokenizer.ggml.tokens",
             gguf_texts({"a", "b", "ab", "<s>", "<0x41>", "\u2581", "\u2581a", "#", "1"}));
    file.set("tokenizer.ggml.token_type", gguf_i32s({1, 1, 1, 3, 6, 1, 1, 4, 1}));
    file.set("tokenizer.ggml.scores", gguf_f32s({0, -1, -2, 0, 0, -3, -4, 0, -5}));
    file.set("tokenizer.ggml.merges", gguf_texts({"a b"}));
    file.set("tokenizer.ggml.bos_token_id", gguf_u32(3));
    file.set("tokenizer.ggml.unknown_token_id", gguf_u32(0));
    return file;
}

std::vector<std::string> seeds() {
    HandmadeGguf factors = model("llama");
    factors.tensors.push_back({"rope_freqs.weight", {2}, 0, numbers(2)});
    HandmadeGguf linear = model("llama");
    linear.set("llama.rope.scaling.type", gguf_text("linear"));
    linear.set("llama.rope.scaling.factor", gguf_f32(2.0f));
    HandmadeGguf longrope = model("phi3");
    longrope.set("phi3.rope.scaling.original_context_length", gguf_u32(4));
    longrope.tensors.push_back({"rope_factors_long.weight", {2}, 0, numbers(2)});
    longrope.tensors.push_back({"rope_factors_short.weight", {2}, 0, numbers(2)});
    HandmadeGguf experts = model("qwen2");
    experts.set("qwen2.expert_count", gguf_u32(8));
    HandmadeGguf prefixed = vocabulary("llama", "default");
    prefixed.set("tokenizer.ggml.add_bos_token", io::gguf_bool(true));
    prefixed.set("tokenizer.ggml.add_space_prefix", io::gguf_bool(false));
    return {model("llama").bytes(),
            model("qwen3").bytes(),
            model("mamba").bytes(),
            factors.bytes(),
            linear.bytes(),
            longrope.bytes(),
            experts.bytes(),
            prefixed.bytes(),
            vocabulary("gpt2", "llama-bpe").bytes(),
            vocabulary("gpt2", "smollm").bytes(),
            vocabulary("gpt2", "other").bytes(),
            vocabulary("bert", "").bytes(),
            vocabulary("llama", "").bytes()};
}

std::vector<std::string> words() {
    return {"llama",
            "qwen2",
            "phi3",
            "llama.attention.head_count_kv",
            "llama.attention.key_length",
            "llama.attention.sliding_window",
            "llama.rope.dimension_count",
            "llama.rope.freq_base",
            "tokenizer.ggml.add_bos_token",
            "tokenizer.ggml.eos_token_id",
            "tokenizer.chat_template",
            "blk.0.attn_k.weight",
            "blk.1.ffn_down.weight",
            "output.weight",
            gguf_u32(0),
            gguf_u32(1),
            gguf_u32(3),
            gguf_u32(UINT32_MAX),
            gguf_f32(0.0f),
            gguf_text("gpt2"),
            gguf_texts({"a", "b"}),
            gguf_i32s({1, 3}),
            io::gguf_bool(true)};
}

}  // namespace

constinit const Target kGgufModelTarget = {
    .name = "ggufmodel", .run = run, .seeds = seeds, .words = words, .max_bytes = 1536};

}  // namespace quarot::fuzz
