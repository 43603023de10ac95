// A work folder's journal. Lines that begin with '+' are sealed with the digest they need, so that
// what stands in them is read.
#include "fuzz/target.h"
#include "io/seal.h"
#include "quantize/job/job_journal.h"
#include "quantize/layer_report.h"

namespace quarot::fuzz {
namespace {

std::string with_seals(std::string_view input) {
    std::string text;
    while (!input.empty()) {
        const size_t newline = input.find('\n');
        const std::string_view line = input.substr(0, newline);
        text += line.starts_with('+') ? io::sealed(std::string(line.substr(1)) + "}")
                                      : std::string(line);
        if (newline == std::string_view::npos) break;
        text += '\n';
        input.remove_prefix(newline + 1);
    }
    return text;
}

void run(std::string_view input) {
    const std::string text = with_seals(input);
    const quantize::JournalRecords journal = quantize::parse_journal(text);
    expect(journal.records.size() == journal.ends.size(), "a record without an end");
    int64_t last = 0;
    for (const int64_t end : journal.ends) {
        expect(end > last && end <= std::ssize(text), "records end out of order");
        expect(text[static_cast<size_t>(end - 1)] == '\n', "a record without its newline");
        last = end;
    }
    for (const quantize::LayerRecord& record : journal.records) {
        quantize::layer_reports_from_json(record.report);
    }
}

std::string record(const std::string& layer, const std::string& report = "[]") {
    return "+{\"layer\":" + layer + R"(,"bytes":8,"xxh3_128":"0123","report":)" + report + "\n";
}

std::vector<std::string> seeds() {
    const std::string report =
        R"([{"name":"a","bits":4,"group_size":0,"method":"rtn","relative_error":0.1,)"
        R"("weights":16,"bytes":8}])";
    return {record("0") + record("1") + record("2"),
            record("0", report),
            record("0", report) + record("2"),
            record("0") + record("1").substr(0, 30),
            record("-1"),
            record("\"0\""),
            record("0", "{\"bits\":1}"),
            io::sealed(R"({"layer":0,"bytes":8,"xxh3_128":"","report":null})") + "\n",
            R"({"layer":0,"bytes":8,"xxh3_128":"0123","report":[],"digest":"00"})",
            "+{\n",
            "\n\n"};
}

std::vector<std::string> words() {
    return {"+{\"layer\":", "\"bytes\":", "\"xxh3_128\":", "\"report\":", "\"digest\":", "\n", "1"};
}

}  // namespace

constinit const Target kJournalTarget = {
    .name = "journal", .run = run, .seeds = seeds, .words = words};

}  // namespace quarot::fuzz
