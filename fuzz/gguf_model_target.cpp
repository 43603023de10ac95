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
                    {"output_norm.weight", {4}, 0, numbers(4)}};
    return file;
}

// With weights of attention and of a dense MLP.
HandmadeGguf dense(const std::string& architecture) {
    HandmadeGguf file = model(architecture);
    file.tensors.push_back({"blk.0.attn_q.weight", {4, 4}, 0, numbers(16)});
    file.tensors.push_back({"blk.0.ffn_up.weight", {32, 2}, 8, std::string(68, '\x3c')});
    return file;
}

HandmadeGguf with_bias(HandmadeGguf file) {
    file.tensors.push_back({"blk.0.attn_k.bias", {4}, 0, numbers(4)});
    return file;
}

HandmadeGguf mixture(const std::string& architecture) {
    HandmadeGguf file = model(architecture);
    for (const auto& [key, value] : {std::pair{".expert_count", 2u},
                                     {".expert_used_count", 1u},
                                     {".expert_feed_forward_length", 2u}}) {
        file.set(architecture + key, gguf_u32(value));
    }
    file.tensors.push_back({"blk.0.ffn_gate_inp.weight", {4, 2}, 0, numbers(8)});
    file.tensors.push_back({"blk.0.ffn_gate_exps.weight", {4, 2, 2}, 0, numbers(16)});
    file.tensors.push_back({"blk.0.ffn_down_exps.weight", {32, 4, 2}, 8, std::string(272, '\x3c')});
    return file;
}

// Numbers that one architecture alone has.
HandmadeGguf with_reals(HandmadeGguf file, const std::vector<std::string>& keys) {
    for (const std::string& key : keys) file.set(key, gguf_f32(0.5f));
    return file;
}

HandmadeGguf layer_norm(const std::string& architecture) {
    return with_reals(model(architecture), {architecture + ".attention.layer_norm_epsilon"});
}

// q, k and v of one tensor, in two heads.
HandmadeGguf gpt_neox() {
    HandmadeGguf file = layer_norm("gptneox");
    file.set("gptneox.attention.head_count", gguf_u32(2));
    file.set("gptneox.use_parallel_residual", io::gguf_bool(true));
    file.tensors.push_back({"blk.0.attn_qkv.weight", {4, 12}, 0, numbers(48)});
    file.tensors.push_back({"blk.0.attn_qkv.bias", {12}, 0, numbers(12)});
    return file;
}

HandmadeGguf gemma3() {
    HandmadeGguf file = dense("gemma3");
    file.set("gemma3.attention.sliding_window", gguf_u32(4));
    file.set("gemma3.attention.sliding_window_pattern", gguf_i32s({1}));
    file.tensors.push_back({"blk.0.post_ffw_norm.weight", {4}, 0, numbers(4)});
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
    HandmadeGguf factors = dense("llama");
    factors.tensors.push_back({"rope_freqs.weight", {2}, 0, numbers(2)});
    HandmadeGguf linear = dense("llama");
    linear.set("llama.rope.scaling.type", gguf_text("linear"));
    linear.set("llama.rope.scaling.factor", gguf_f32(2.0f));
    HandmadeGguf longrope = model("phi3");
    longrope.set("phi3.rope.scaling.original_context_length", gguf_u32(4));
    longrope.tensors.push_back({"rope_factors_long.weight", {2}, 0, numbers(2)});
    longrope.tensors.push_back({"rope_factors_short.weight", {2}, 0, numbers(2)});
    HandmadeGguf experts = dense("qwen2");
    experts.set("qwen2.expert_count", gguf_u32(8));
    HandmadeGguf prefixed = vocabulary("llama", "default");
    prefixed.set("tokenizer.ggml.add_bos_token", io::gguf_bool(true));
    prefixed.set("tokenizer.ggml.add_space_prefix", io::gguf_bool(false));
    return {
        dense("llama").bytes(),
        with_bias(dense("qwen2")).bytes(),
        dense("qwen3").bytes(),
        model("mamba").bytes(),
        factors.bytes(),
        linear.bytes(),
        longrope.bytes(),
        experts.bytes(),
        mixture("llama").bytes(),
        mixture("qwen3moe").bytes(),
        gpt_neox().bytes(),
        dense("gemma").bytes(),
        with_reals(dense("gemma2"),
                   {"gemma2.attn_logit_softcapping", "gemma2.final_logit_softcapping"})
            .bytes(),
        gemma3().bytes(),
        with_reals(dense("granite"), {"granite.attention.scale", "granite.logit_scale"}).bytes(),
        with_reals(layer_norm("command-r"), {"command-r.logit_scale"}).bytes(),
        layer_norm("starcoder2").bytes(),
        layer_norm("stablelm").bytes(),
        dense("olmo2").bytes(),
        dense("smollm3").bytes(),
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
            "qwen3moe",
            "gemma3",
            "gptneox",
            "granite",
            "llama.expert_count",
            "llama.expert_used_count",
            "qwen3moe.expert_weights_norm",
            "gemma3.attention.sliding_window_pattern",
            "blk.0.ffn_gate_exps.weight",
            "blk.0.ffn_gate_inp.weight",
            "blk.0.attn_qkv.weight",
            "blk.0.post_attention_norm.weight",
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
