#include "quantize/gguf_companions.h"

#include <string>

#include "core/error.h"
#include "io/gguf_metadata.h"
#include "tokenizer/gguf_tokenizer.h"

namespace quarot::quantize {
namespace {

void write_tokenizer(const io::GgufMetadata& metadata, io::OutputFolder& folder) {
    std::string tokenizer, config;
    try {
        tokenizer = tokenizer::gguf_tokenizer_json(metadata);
        config = tokenizer::gguf_tokenizer_config(metadata);
    } catch (const Error&) {
        return;
    }
    folder.write_text("tokenizer.json", tokenizer + "\n");
    folder.write_text("tokenizer_config.json", config + "\n");
}

}  // namespace

void write_gguf_companions(const folder::SourceModel& source, io::OutputFolder& folder) {
    write_tokenizer(io::read_gguf_metadata(source.folder()), folder);
    io::Json generation = io::Json::Object{};
    for (const char* key : {"bos_token_id", "eos_token_id"}) {
        if (const io::Json* id = source.config_json().find(key)) generation.set(key, *id);
    }
    folder.write_text("generation_config.json", generation.dump() + "\n");
}

}  // namespace quarot::quantize
