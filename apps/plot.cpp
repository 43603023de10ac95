// quarot plot: pictures and one page of what the other commands measured.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/report.h"
#include "build_info.h"
#include "core/error.h"
#include "io/output_file.h"
#include "plot/figures.h"
#include "plot/html_report.h"

namespace quarot::apps {

namespace {

constexpr const char* kPage = "report.html";
constexpr int64_t kMostLayers = int64_t{1} << 20;

struct PlotFlags {
    std::vector<std::string> files;
    std::string out;
    std::vector<int64_t> layers;
    std::vector<std::string> places;
    bool overwrite = false;
    OutputFlags output;
};

void declare(Args& args, PlotFlags& flags) {
    args.add({"FILES", "FILE", "what stats, perplexity, reproduce and bench wrote with --json",
              [&flags](const Given& g) { flags.files.push_back(g.value); }, Shown::First,
              Repeated::AllCount})
        .n_values = kUnlimited;
    args.add({"--out", "FOLDER", "where the pictures (SVG) and report.html appear",
              [&flags](const Given& g) { flags.out = g.value; }, Shown::First});
    args.add({"--layers", "LIST",
              "bands of these layers [of each point, the one with most kurtosis]",
              [&flags](const Given& g) { flags.layers = as_integers(g, 0, kMostLayers); },
              Shown::First});
    args.add({"--points", "LIST", "bands of these points or weights: mlp_in,down_proj [all points]",
              [&flags](const Given& g) { flags.places = as_words(g); }, Shown::First});
    args.add({"--overwrite", "", "replace pictures and page that are there",
              [&flags](const Given& g) { flags.overwrite = as_switch(g); }});
    flags.output.declare(args);
    args.example("quarot plot tiny.json --out pictures",
                 "what quarot stats wrote: channels before and after rotation, and all layers");
    args.example("quarot plot tiny.json --layers 1 --points mlp_in,down_in --out pictures",
                 "the paper's Figure 1 for one layer");
    args.example("quarot plot tables/report.json w4.json w8.json bench.json --out pictures",
                 "the report of reproduce, perplexity against bits, speed");
}

using plot::Place;
using plot::StatsDocument;

double kurtosis_of(const Place& place) {
    const auto& spread = place.before ? place.before : place.after;
    return spread ? spread->kurtosis.value_or(0.0) : 0.0;
}

std::vector<std::string> names_of(const StatsDocument& document) {
    std::vector<std::string> names;
    for (const Place& place : document.places) {
        if (std::find(names.begin(), names.end(), place.name) == names.end()) {
            names.push_back(place.name);
        }
    }
    return names;
}

template <typename T>
bool contains(const std::vector<T>& list, const T& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
}

// Of each name that is asked for the layers that are, or the one with the largest kurtosis.
std::vector<const Place*> places_with_bands(const PlotFlags& flags, const StatsDocument& document) {
    std::vector<const Place*> chosen;
    for (const std::string& name : names_of(document)) {
        const Place* largest = nullptr;
        for (const Place& place : document.places) {
            if (place.name != name) continue;
            if (flags.places.empty() ? place.is_weight : !contains(flags.places, name)) continue;
            if (contains(flags.layers, place.layer)) chosen.push_back(&place);
            if (largest == nullptr || kurtosis_of(place) > kurtosis_of(*largest)) largest = &place;
        }
        if (flags.layers.empty() && largest != nullptr) chosen.push_back(largest);
    }
    return chosen;
}

// Error{Usage} if flags name a place or a layer that no document has.
void check_choice(const PlotFlags& flags, const plot::Documents& documents) {
    std::vector<std::string> names;
    std::vector<int64_t> layers;  // with bands that are asked for
    for (const StatsDocument& document : documents.stats) {
        for (const std::string& name : names_of(document)) {
            if (!contains(names, name)) names.push_back(name);
        }
        for (const Place* place : places_with_bands(flags, document)) {
            layers.push_back(place->layer);
        }
    }
    for (const std::string& name : flags.places) {
        if (contains(names, name)) continue;
        fail(ErrorCode::Usage, "--points names {}, but the files have {}", name,
             names.empty() ? "no statistics" : joined(names, ", "));
    }
    for (const int64_t layer : flags.layers) {
        if (contains(layers, layer)) continue;
        fail(ErrorCode::Usage, "--layers names layer {}, of which no file has statistics{}", layer,
             flags.places.empty() ? "" : " at the places of --points");
    }
}

void add_figure(std::optional<plot::Figure> figure, std::vector<plot::Figure>& to) {
    if (figure) to.push_back(std::move(*figure));
}

plot::Section section_of(const PlotFlags& flags, const StatsDocument& document,
                         const std::string& prefix) {
    plot::Section section = {
        .title = fmt::format("Spread of values: {}", document.model), .figures = {}, .tables = ""};
    for (const Place* place : places_with_bands(flags, document)) {
        const std::string name =
            fmt::format("{}bands-{}-layer{}", prefix, place->name, place->layer);
        section.figures.push_back(band_figure(document, *place, name));
    }
    for (const bool of_weights : {false, true}) {
        const char* what = of_weights ? "weights" : "activations";
        for (const auto& [measure, name] : {std::pair(plot::Measure::Kurtosis, "kurtosis"),
                                            std::pair(plot::Measure::Sqnr, "sqnr")}) {
            add_figure(layer_figure(document, measure, of_weights,
                                    fmt::format("{}{}-{}", prefix, name, what)),
                       section.figures);
        }
    }
    section.tables = plot::stats_table(document);
    return section;
}

plot::Section section_of(const plot::ReproduceDocument& document, const std::string& prefix) {
    plot::Section section = {.title = fmt::format("The paper's tables: {}", document.model),
                             .figures = {},
                             .tables = ""};
    for (const plot::PaperTable& table : document.tables) {
        std::vector<plot::MeasuredPerplexity> rows;
        for (const auto& row : table.rows) {
            if (row.measured) rows.push_back(*row.measured);
        }
        add_figure(bits_figure(table.title() + ": perplexity against bits",
                               fmt::format("{} on {}", document.model, document.text), rows,
                               prefix + table.file_name() + "-perplexity"),
                   section.figures);
        section.tables += plot::paper_table(table);
    }
    return section;
}

std::string describe_terms(const plot::PerplexityDocument& document) {
    const plot::PerplexityTerms& terms = document.terms;
    std::string text = document.text;
    if (terms.windows > 0) text += fmt::format(", {} windows", terms.windows);
    if (terms.seqlen > 0) text += fmt::format(", seqlen {}", terms.seqlen);
    if (!terms.protocol.empty()) text += fmt::format(", protocol {}", terms.protocol);
    return text;
}

// documents: of equal terms.
plot::Section section_of(const std::vector<plot::PerplexityDocument>& documents,
                         const std::string& prefix) {
    std::vector<plot::MeasuredPerplexity> rows;
    rows.reserve(documents.size());
    for (const plot::PerplexityDocument& document : documents) rows.push_back(document.measured);
    const std::string terms = describe_terms(documents.front());
    plot::Section section = {.title = "Perplexity: " + terms, .figures = {}, .tables = ""};
    add_figure(plot::bits_figure("Perplexity against bits", terms, rows, prefix + "perplexity"),
               section.figures);
    section.tables = plot::perplexity_table(documents);
    return section;
}

std::vector<plot::Section> sections_of(const PlotFlags& flags, const plot::Documents& documents) {
    std::vector<plot::Section> sections;
    sections.reserve(documents.stats.size() + documents.reproductions.size() +
                     documents.perplexities.size() + 1);
    const auto prefix = [](size_t index, size_t count) {
        return count == 1 ? std::string() : fmt::format("{}-", index + 1);
    };
    for (size_t i = 0; i < documents.stats.size(); ++i) {
        sections.push_back(
            section_of(flags, documents.stats[i], prefix(i, documents.stats.size())));
    }
    for (size_t i = 0; i < documents.reproductions.size(); ++i) {
        sections.push_back(
            section_of(documents.reproductions[i], prefix(i, documents.reproductions.size())));
    }
    const auto groups = plot::comparable(documents.perplexities);
    for (size_t i = 0; i < groups.size(); ++i) {
        sections.push_back(section_of(groups[i], prefix(i, groups.size())));
    }
    if (!documents.benches.empty()) {
        sections.push_back({"Speed", {plot::speed_figure(documents.benches, "speed")}, ""});
    }
    return sections;
}

void check(const PlotFlags& flags) {
    if (flags.files.empty()) {
        fail(ErrorCode::Usage,
             "no file is given; name what quarot stats, perplexity, reproduce or bench wrote");
    }
    if (flags.out.empty()) {
        fail(ErrorCode::Usage, "no folder for the pictures is given; use --out");
    }
}

// Each file whole or not at all, the page last.
std::vector<std::string> write_all(const PlotFlags& flags,
                                   const std::vector<plot::Section>& sections) {
    std::vector<std::pair<std::string, std::string>> files;  // name, content
    for (const plot::Section& section : sections) {
        for (const plot::Figure& figure : section.figures) {
            files.emplace_back(figure.name + ".svg", figure.file());
        }
    }
    files.emplace_back(kPage, plot::html_report(QUAROT_VERSION, flags.files, sections));
    std::error_code error;
    std::filesystem::create_directories(flags.out, error);
    if (error) fail(ErrorCode::Io, "cannot make --out {}: {}", flags.out, error.message());
    std::vector<std::string> paths;
    for (const auto& [name, content] : files) {
        paths.push_back((std::filesystem::path(flags.out) / name).string());
        if (flags.overwrite || !std::filesystem::exists(paths.back(), error)) continue;
        fail(ErrorCode::Usage, "{} exists; give --overwrite to replace it", paths.back());
    }
    for (size_t i = 0; i < files.size(); ++i) io::write_whole(paths[i], files[i].second);
    return paths;
}

void work(const PlotFlags& flags) {
    flags.output.apply();
    check(flags);
    const plot::Documents documents = plot::read_documents(flags.files);
    check_choice(flags, documents);
    const std::vector<std::string> paths = write_all(flags, sections_of(flags, documents));
    if (!flags.output.json) return print_result(joined(paths, "\n") + "\n");
    io::Json json = json_document("plot");
    json.set("out", flags.out);
    json.set("files", io::Json::Array(paths.begin(), paths.end()));
    print_document(json);
}

}  // namespace

Work plot_command(Args& args) {
    auto flags = std::make_shared<PlotFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps
