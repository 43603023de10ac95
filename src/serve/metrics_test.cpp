#include "serve/metrics.h"

#include <gtest/gtest.h>

#include <sstream>

namespace quarot::serve {
namespace {

TEST(Metrics, HistogramsCountWhatIsAtOrBelowEachBound) {
    Histogram histogram({1.0, 2.5});
    for (const double value : {0.5, 1.0, 2.0, 9.0}) histogram.add(value);
    EXPECT_EQ(histogram.text("x"),
              "x_bucket{le=\"1\"} 2\nx_bucket{le=\"2.5\"} 3\nx_bucket{le=\"+Inf\"} 4\nx_sum "
              "12.5\nx_count 4\n");
}

TEST(Metrics, TheTextIsOneFamilyAfterTheOtherWithHelpAndType) {
    Metrics metrics;
    metrics.count_http("/health", 200);
    metrics.count_success("stop");
    metrics.count_tokens(5, 2);
    const std::string text =
        metrics.text({.n_running = 3, .n_pages = 10, .n_pages_used = 5}, "{version=\"1\"}");
    for (const char* line : {"quarot:num_requests_running 3\n", "quarot:kv_cache_usage_perc 0.5\n",
                             "quarot:prompt_tokens_total 5\n", "quarot:generation_tokens_total 2\n",
                             "quarot:request_success_total{finished_reason=\"stop\"} 1\n",
                             "quarot:http_requests_total{route=\"/health\",code=\"200\"} 1\n",
                             "quarot:build_info{version=\"1\"} 1\n"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line;
    }
    std::istringstream lines(text);
    std::string family;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("# HELP ")) {
            family = line.substr(7, line.find(' ', 7) - 7);
        } else if (line.starts_with("# TYPE ")) {
            EXPECT_TRUE(line.starts_with("# TYPE " + family + " ")) << line;
        } else {
            EXPECT_TRUE(line.starts_with(family)) << line << " below " << family;
        }
    }
}

}  // namespace
}  // namespace quarot::serve
