// Which layers of a job are finished? One line each, appended and synced when the layer's file is
// in its place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace quarot::quantize {

struct LayerRecord {
    int64_t bytes = 0;   // of the layer's file
    std::string digest;  // digest_of_file
    io::Json report;
};

struct JournalRecords {
    std::vector<LayerRecord> records;
    std::vector<int64_t> ends;  // offset behind each record's line
};

// The records 0, 1, 2 .. of a journal's text up to the first line that is torn, damaged or out of
// order.
JournalRecords parse_journal(std::string_view text);

class JobJournal {
  public:
    // As parse_journal; a missing file has no records. The file itself is not touched. Error{Io} if
    // reading fails.
    explicit JobJournal(const std::string& path);

    const std::vector<LayerRecord>& records() const { return journal_.records; }
    // Cuts off all that follows the first n records, lines that could not be read included.
    // Error{Io}.
    void keep_first(int64_t n);
    // Durable when it returns; on Error{Io} the journal is as before.
    void append(const LayerRecord& record);

  private:
    int64_t end_of(int64_t n_records) const;

    std::string path_;
    JournalRecords journal_;
};

}  // namespace quarot::quantize
