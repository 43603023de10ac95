#include "plot/document.h"

#include <algorithm>
#include <limits>
#include <sstream>
#include <utility>

#include "core/error.h"
#include "io/text.h"
#include "plot/number.h"

namespace quarot::plot {
namespace {

using io::Json;

// Bands of every channel of a large model are many numbers.
constexpr io::JsonLimits kLimits = {.max_bytes = int64_t{1} << 30, .max_values = int64_t{1} << 26};
constexpr Range kSpeed = {1e-15, 1e15};

double bits(const Json& json) {
    return number_in(json, {1e-3, 64.0});
}

std::string text_or_empty(const Json& json, std::string_view key) {
    const Json* value = json.find(key);
    return value == nullptr ? "" : value->as_string();
}

// "QuaRot-RTN" of "QuaRot-RTN INT4", "K, V" of "K 4, V 3": the words without digits. A name of
// such words alone is itself.
std::string without_numbers(const std::string& name) {
    std::istringstream words(name);
    std::string series;
    for (std::string word; words >> word;) {
        const bool is_number =
            std::any_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
        if (!is_number) {
            series += (series.empty() ? "" : " ") + word;
        } else if (word.back() == ',' && !series.empty()) {
            series += ",";
        }
    }
    return series.empty() ? name : series;
}

PaperTable::Row table_row(const Json& json, const std::string& model) {
    PaperTable::Row row;
    const std::string name = json.at("row").as_string(), rotate = text_or_empty(json, "rotate");
    const std::string rotated = rotate.empty() ? "" : ", rotate " + rotate;
    row.name = name + rotated;
    if (const auto perplexity = optional_in(json, "perplexity", kAboveZero)) {
        row.measured = {.model = model,
                        .label = row.name,
                        .series = without_numbers(name) + rotated,
                        .weight_bits = bits(json.at("bits_per_value")),
                        .activation_bits = bits(json.at("activation_bits_per_value")),
                        .cache_bits = bits(json.at("kv_bits_per_value")),
                        .perplexity = *perplexity,
                        .seed_deviation = optional_in(json, "perplexity_stddev", kFromZero)};
    }
    row.recipe = json.at("recipe").as_string();
    row.precision = text_or_empty(json, "precision");
    row.remark = text_or_empty(json, "reason");
    if (row.remark.empty()) row.remark = text_or_empty(json, "note");
    row.relative = optional_in(json, "relative", kAboveZero);
    row.paper = optional_in(json, "paper", kAboveZero);
    row.seconds = optional_in(json, "seconds", kFromZero);
    row.accuracy = optional_in(json, "zero_shot_average", kPercent);
    row.paper_accuracy = optional_in(json, "paper_zero_shot_average", kPercent);
    return row;
}

// Where a row stands, no rows yet.
PaperTable table_of_row(const Json& row) {
    const Json* beyond = row.find("beyond");
    const bool is_beyond = beyond != nullptr && !beyond->is_null();
    return {.number = (is_beyond ? *beyond : row.at("table")).as_int(1, 1000),
            .rows = {},
            .is_beyond = is_beyond};
}

// Each becomes a file of its own.
void start_table(PaperTable empty, const Json& row, std::vector<PaperTable>& tables) {
    for (const PaperTable& table : tables) {
        if (table.title() != empty.title()) continue;
        fail(ErrorCode::Corrupt, "{} is of {} {} again, expected the rows of a table together",
             row.place(), empty.is_beyond ? "ladder" : "table", empty.number);
    }
    tables.push_back(std::move(empty));
}

ReproduceDocument reproduce_document(const Json& json) {
    ReproduceDocument document = {
        .model = json.at("model").as_string(), .text = json.at("text").as_string(), .tables = {}};
    for (const Json& row : json.at("rows").as_array()) {
        PaperTable table = table_of_row(row);
        if (document.tables.empty() || document.tables.back().title() != table.title()) {
            start_table(std::move(table), row, document.tables);
        }
        document.tables.back().rows.push_back(table_row(row, document.model));
    }
    return document;
}

int64_t count_or_zero(const Json& json, std::string_view key) {
    const Json* value = json.find(key);
    return value == nullptr ? 0 : value->as_int(0, std::numeric_limits<int64_t>::max());
}

PerplexityTerms terms_of(const Json& json) {
    const Json& text = json.at("text");
    const std::string digest = text_or_empty(text, "sha256");
    return {.text_digest = digest.empty() ? text.at("file").as_string() : digest,
            .protocol = text_or_empty(json, "protocol"),
            .seqlen = count_or_zero(json, "seqlen"),
            .windows = count_or_zero(json, "windows")};
}

PerplexityDocument perplexity_document(const std::string& file, const Json& json) {
    const Json& widths = json.at("bits");
    const std::string& model = json.at("model").as_string();
    return {.file = file,
            .text = json.at("text").at("file").as_string(),
            .terms = terms_of(json),
            .measured = {.model = model,
                         .label = json.at("recipe").as_string(),
                         .series = model,
                         .weight_bits = bits(widths.at("per_weight")),
                         .activation_bits = bits(widths.at("activations")),
                         .cache_bits = (bits(widths.at("k")) + bits(widths.at("v"))) / 2,
                         .perplexity = number_in(json.at("perplexity"), kAboveZero),
                         .standard_error = optional_in(json, "standard_error", kFromZero)}};
}

BenchDocument bench_document(const std::string& file, const Json& json) {
    BenchDocument document;
    const Json* rows = json.find("rows");
    const bool has_speeds = rows != nullptr && !rows->as_array().empty() &&
                            rows->as_array().front().contains("tokens_per_second");
    if (!has_speeds) {
        fail(ErrorCode::Unsupported,
             "{}: has no rows with tokens_per_second; expected speeds of quarot bench, neither "
             "single operations nor the paper's tables",
             file);
    }
    for (const Json& row : rows->as_array()) {
        document.rows.push_back(
            {.test = row.at("test").as_string(),
             .depth = row.at("depth").as_int(),
             .batch = row.at("batch").as_int(),
             .label = fmt::format("{}, {}, {}", row.at("model").as_string(),
                                  row.at("recipe").as_string(), row.at("device").as_string()),
             .tokens_per_second = number_in(row.at("tokens_per_second"), kSpeed),
             .deviation = optional_in(row, "stddev", {0.0, kSpeed.most}).value_or(0.0)});
    }
    return document;
}

void add_document(const std::string& file, Documents& to) {
    const Json json = Json::parse_file(file, kLimits);
    const Json* schema = json.is_object() ? json.find("schema") : nullptr;
    if (schema == nullptr || !schema->is_string()) {
        fail(ErrorCode::Corrupt,
             "{}: has no \"schema\"; expected what quarot stats, perplexity, reproduce or bench "
             "write as JSON",
             file);
    }
    const std::string& name = schema->as_string();
    if (name == "quarot.stats/1") {
        to.stats.push_back(stats_document(json));
    } else if (name == "quarot.perplexity/1") {
        to.perplexities.push_back(perplexity_document(file, json));
    } else if (name == "quarot.reproduce/1") {
        to.reproductions.push_back(reproduce_document(json));
    } else if (name == "quarot.bench/1") {
        to.benches.push_back(bench_document(file, json));
    } else {
        fail(ErrorCode::Unsupported,
             "{}: its schema is {}, expected quarot.stats/1, quarot.perplexity/1, "
             "quarot.reproduce/1 or quarot.bench/1",
             file, io::printable(name));
    }
}

}  // namespace

std::string PaperTable::title() const {
    return fmt::format("{} {}", is_beyond ? "Beyond the paper" : "Table", number);
}

std::string PaperTable::file_name() const {
    return fmt::format("{}{}", is_beyond ? "beyond" : "table", number);
}

std::vector<std::vector<PerplexityDocument>> comparable(
    const std::vector<PerplexityDocument>& documents) {
    std::vector<std::vector<PerplexityDocument>> groups;
    for (const PerplexityDocument& document : documents) {
        auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& of_equal_terms) {
            return of_equal_terms.front().terms == document.terms;
        });
        if (group == groups.end()) group = groups.emplace(groups.end());
        group->push_back(document);
    }
    return groups;
}

Documents read_documents(const std::vector<std::string>& files) {
    Documents documents;
    for (const std::string& file : files) add_document(file, documents);
    return documents;
}

}  // namespace quarot::plot
