// llama_logits MODEL.gguf BASE THREADS LOGITS: llama.cpp's logits, all of them in F32, of the
// positions that BASE, a file of llama-perplexity's --kl-divergence-base, has rows of.
// tools/compare_llama_perplexity.py compiles it against a build of llama.cpp.
#include <llama.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Windows {
    int32_t seqlen = 0, vocab = 0, n = 0;
    std::vector<llama_token> tokens;  // [n, seqlen]
};

Windows read_windows(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::string magic(8, ' ');
    Windows windows;
    file.read(magic.data(), 8);
    for (int32_t* size : {&windows.seqlen, &windows.vocab, &windows.n}) {
        file.read(reinterpret_cast<char*>(size), sizeof(*size));
    }
    if (!file || magic != "_logits_" || windows.seqlen < 3 || windows.n < 1) {
        throw std::runtime_error("expected a file of --kl-divergence-base");
    }
    windows.tokens.resize(static_cast<size_t>(windows.seqlen) * static_cast<size_t>(windows.n));
    file.read(reinterpret_cast<char*>(windows.tokens.data()),
              static_cast<std::streamsize>(windows.tokens.size() * sizeof(llama_token)));
    if (!file) throw std::runtime_error("the base's tokens end early");
    return windows;
}

// As llama-perplexity's with a batch of one window and a cache in F32.
llama_context_params context_of(const Windows& windows, int threads) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = static_cast<uint32_t>(windows.seqlen);
    params.n_threads = params.n_threads_batch = threads;
    params.type_k = params.type_v = GGML_TYPE_F32;
    return params;
}

// Runs one window from an empty cache; the batch asks for logits of its second half.
void run_window(llama_context* context, const llama_vocab* vocab, const llama_token* tokens,
                llama_batch& batch) {
    for (int32_t i = 0; i < batch.n_tokens; ++i) batch.token[i] = tokens[i];
    if (llama_vocab_get_add_bos(vocab)) batch.token[0] = llama_vocab_bos(vocab);
    llama_memory_clear(llama_get_memory(context), true);
    if (llama_decode(context, batch) != 0) throw std::runtime_error("llama_decode failed");
}

llama_batch batch_of(int32_t seqlen) {
    llama_batch batch = llama_batch_init(seqlen, 0, 1);
    batch.n_tokens = seqlen;
    for (int32_t i = 0; i < seqlen; ++i) {
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = i >= seqlen / 2;
    }
    return batch;
}

void write_logits(const char* model_path, const Windows& windows, int threads, const char* out) {
    const std::unique_ptr<llama_model, void (*)(llama_model*)> model(
        llama_model_load_from_file(model_path, llama_model_default_params()), llama_model_free);
    if (!model) throw std::runtime_error("the model cannot be loaded");
    const llama_vocab* vocab = llama_model_get_vocab(model.get());
    if (llama_vocab_n_tokens(vocab) != windows.vocab) {
        throw std::runtime_error("the base has another vocabulary");
    }
    const std::unique_ptr<llama_context, void (*)(llama_context*)> context(
        llama_init_from_model(model.get(), context_of(windows, threads)), llama_free);
    if (!context) throw std::runtime_error("no context can be made");
    llama_batch batch = batch_of(windows.seqlen);
    std::ofstream file(out, std::ios::binary);
    for (int32_t window = 0; window < windows.n; ++window) {
        const auto first = static_cast<size_t>(window) * static_cast<size_t>(windows.seqlen);
        run_window(context.get(), vocab, windows.tokens.data() + first, batch);
        // The last position predicts nothing of the window.
        for (int32_t i = windows.seqlen / 2; i + 1 < windows.seqlen; ++i) {
            file.write(reinterpret_cast<const char*>(llama_get_logits_ith(context.get(), i)),
                       static_cast<std::streamsize>(windows.vocab) * 4);
        }
    }
    llama_batch_free(batch);
    file.close();
    if (!file) throw std::runtime_error("the logits cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc != 5) {
            throw std::runtime_error("usage: llama_logits MODEL.gguf BASE THREADS LOGITS");
        }
        llama_backend_init();
        write_logits(argv[1], read_windows(argv[2]), std::atoi(argv[3]), argv[4]);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "llama_logits: %s\n", error.what());
        return 1;
    }
}
