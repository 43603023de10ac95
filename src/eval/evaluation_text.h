// Texts as the protocols read them: whole, or cut into documents.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quarot::eval {

// Text as the paper's protocol and calibration read it. Error{Usage} for another format.
//   raw: the bytes that io::read_input_text() gives
//   wikitext-rows: its lines, each with its newline, joined by an extra newline
std::string read_evaluation_text(const std::string& path, const std::string& format);

struct Document {
    std::string text;  // that is evaluated
    // Of the original. Words are what white space separates; 0 where it is no UTF-8.
    int64_t n_words = 0, n_bytes = 0;
};

struct EvaluationText {
    std::string sha256;  // of the bytes that were read
    std::vector<Document> documents;
};

// The formats above give one document, the others many, detokenized as lm-evaluation-harness does
// for its task wikitext; blank ones are left out:
//   wikitext-pages: the articles of a file of WikiText, cut at their titles (" = Du Fu = ")
//   wikitext-jsonl: a JSON object a line, whose "page" is an article
// Error{Usage} for another format, Error{Corrupt} with file and line, or where no document is left.
EvaluationText read_documents(const std::string& path, const std::string& format);
bool has_pages(std::string_view format);

// As lm-evaluation-harness rewrites an article of WikiText: spaces around punctuation, hyphens and
// quotation marks as people write them.
std::string detokenized(std::string_view page);
std::vector<std::string> wikitext_pages(std::string_view text);
// As Python's re.split(r"\s+", text) counts them: 1 more than there are stretches of white space.
// Of well-formed UTF-8.
int64_t count_words(std::string_view text);

}  // namespace quarot::eval
