// An index and the headers of its shards: the index first, then, in the order of their names, one
// segment a shard: a byte that says how many bytes of data it has, then its header.
#include <set>

#include "core/error.h"
#include "fuzz/target.h"
#include "io/safetensors_header.h"
#include "io/shard_index.h"

namespace quarot::fuzz {
namespace {

constexpr const char* kPath = "model.safetensors.index.json";

void check_names(const io::ShardIndex& index) {
    for (const std::string& shard : index.shards) {
        expect(shard.find('/') == std::string::npos && shard.ends_with(".safetensors") &&
                   shard != ".safetensors",
               "a shard's name can leave the folder");
    }
}

void run(std::string_view input) {
    const io::ShardIndex index =
        io::parse_shard_index(io::Json::parse(take_segment(input), kPath), kPath);
    check_names(index);
    std::set<std::string> found;
    for (const std::string& shard : index.shards) {
        const std::string_view segment = take_segment(input);
        if (segment.empty()) return;
        const std::string_view header = segment.substr(1);
        const int64_t file_bytes = io::kSafetensorsLengthBytes + std::ssize(header) +
                                   static_cast<unsigned char>(segment.front());
        for (const auto& [tensor, info] :
             io::parse_safetensors_header(header, file_bytes, shard).tensors) {
            index.check_placed(tensor, shard);
            expect(found.insert(tensor).second, "a tensor stands in two shards");
        }
    }
}

std::string index(const std::string& map) {
    return R"({"metadata":{"total_size":8},"weight_map":)" + map + "}";
}

std::string shard(const std::string& name) {
    return "\x04{\"" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
}

std::vector<std::string> seeds() {
    const std::string two = index(R"({"a":"1.safetensors","b":"2.safetensors"})");
    return {join_segments({two, shard("a"), shard("b")}),
            join_segments({two, shard("a"), shard("a")}),
            join_segments({two, shard("a"), shard("c")}),
            index(R"({"a":"../1.safetensors"})"),
            index(R"({"a":"x/1.safetensors"})"),
            index(R"({"a":"/etc/1.safetensors"})"),
            index(R"({"a":".safetensors"})"),
            index(R"({"a":"1.bin"})"),
            index(R"({"a":7})"),
            index("{}"),
            index("[]"),
            "{}",
            R"({"weight_map":{"a":"m.safetensors"},"metadata":{"total_size":"x"}})",
            R"({"weight_map":{"a":"m.safetensors"},"metadata":null})"};
}

std::vector<std::string> words() {
    return {"\"weight_map\":",      "\"metadata\":",      "\"total_size\":", ".safetensors", "../",
            "model-00001-of-00002", std::string(1, '\0'), "\"a\":",          "\"b\":"};
}

}  // namespace

constinit const Target kIndexTarget = {.name = "index", .run = run, .seeds = seeds, .words = words};

}  // namespace quarot::fuzz
