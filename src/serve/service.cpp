#include "serve/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "core/decimal.h"
#include "core/error.h"
#include "io/text.h"
#include "serve/assets.h"
#include "serve/limits.h"

namespace quarot::serve {

namespace {

using io::Json;

std::string_view without_port(std::string_view host) {
    if (host.starts_with("[")) {
        const size_t end = host.find(']');
        return end == std::string_view::npos ? host : host.substr(0, end + 1);
    }
    return host.substr(0, host.find(':'));
}

HttpResponse to_response(const Json& json) {
    return json_response(json.dump(-1));
}

ApiError method_error(const std::string& method, const std::string& allowed) {
    ApiError error(
        405, fmt::format("this path is asked by {}, not {}", allowed, io::printable(method, 20)));
    error.add_header("Allow", allowed);
    return error;
}

}  // namespace

struct Service::Entry {
    Route route;
    Handler handler;  // null: generates
};

std::span<const Service::Entry> Service::entries() {
    static constexpr Entry kEntries[] = {
        {{"GET", "/", Access::Public, false}, &Service::page},
        {{"GET", "/health", Access::Public, false}, &Service::health},
        {{"GET", "/v1/health", Access::Public, false}, &Service::health},
        {{"GET", "/metrics", Access::Metrics, false}, &Service::metrics},
        {{"GET", "/version", Access::Key, false}, &Service::version},
        {{"GET", "/props", Access::Key, false}, &Service::props},
        {{"GET", "/openapi.json", Access::Key, false}, &Service::openapi},
        {{"GET", "/v1/models", Access::Key, false}, &Service::models},
        {{"GET", "/v1/models/*", Access::Key, false}, &Service::model},
        {{"GET", "/tokenizer_info", Access::Key, false}, &Service::tokenizer_info},
        {{"POST", "/tokenize", Access::Key, true}, &Service::tokenize},
        {{"POST", "/detokenize", Access::Key, true}, &Service::detokenize},
        {{"POST", "/apply-template", Access::Key, true}, &Service::apply_template},
        {{"POST", "/v1/completions", Access::Key, true}, nullptr},
        {{"POST", "/v1/chat/completions", Access::Key, true}, nullptr},
    };
    return kEntries;
}

std::span<const Route> Service::routes() {
    static const std::vector<Route> list = [] {
        std::vector<Route> routes;
        for (const Entry& entry : entries()) routes.push_back(entry.route);
        return routes;
    }();
    return list;
}

Service::Service(const ServedModel& model, std::vector<runtime::RankModel> ranks,
                 const runtime::EngineLimits& limits, ServiceOptions options)
    : model_(model),
      options_(std::move(options)),
      started_(static_cast<int64_t>(std::time(nullptr))),
      engine_(std::move(ranks), limits, [this](int64_t n) { metrics_.count_step(n); }) {}

Service::~Service() {
    abort_all(ApiError(503, "the server is going down"));
}

namespace {

bool matches(std::string_view pattern, std::string_view path) {
    if (!pattern.ends_with("*")) return pattern == path;
    pattern.remove_suffix(1);
    return path.size() > pattern.size() && path.starts_with(pattern);
}

}  // namespace

// HEAD is answered as GET, whose body the exchange leaves out.
const Service::Entry* Service::find(const HttpRequest& request) {
    const std::string method = request.method == "HEAD" ? "GET" : request.method;
    for (const Entry& entry : entries()) {
        if (matches(entry.route.path, request.path) && method == entry.route.method) return &entry;
    }
    return nullptr;
}

bool Service::is_heavy(const HttpRequest& request) {
    const Entry* entry = find(request);
    return entry != nullptr && entry->route.is_heavy;
}

std::string_view Service::route_of(const HttpRequest& request) {
    const Entry* entry = find(request);
    return entry != nullptr ? entry->route.path : "other";
}

void Service::count(const HttpRequest& request, int status) {
    metrics_.count_http(std::string(route_of(request)), status);
}

void Service::check_host(const HttpRequest& request) const {
    if (options_.allowed_hosts.empty()) return;
    const std::string_view host = without_port(request.header("host"));
    if (std::ranges::count(options_.allowed_hosts, host) > 0) return;
    throw ApiError(403, fmt::format("the host {} is not served here", io::printable(host, 80)));
}

void Service::authorize(const HttpRequest& request, Access access) const {
    if (access == Access::Public) return;
    const bool is_open = options_.metrics_are_public || request.from_loopback;
    if (access == Access::Metrics && is_open) return;
    if (options_.keys.admit(request.header("authorization"))) return;
    throw ApiError(401, "no valid key is given; send it as Authorization: Bearer KEY", "",
                   "invalid_api_key");
}

const Service::Entry& Service::permitted(const HttpRequest& request) const {
    check_host(request);
    const Entry* entry = find(request);
    // Unknown paths, too, tell nothing without a key.
    authorize(request, entry != nullptr ? entry->route.access : Access::Key);
    if (entry != nullptr) return *entry;
    for (const Entry& other : entries()) {
        if (!matches(other.route.path, request.path)) continue;
        const bool is_get = std::string_view(other.route.method) == "GET";
        throw method_error(request.method, is_get ? "GET, HEAD" : other.route.method);
    }
    throw ApiError(404, fmt::format("there is no {}", io::printable(request.path, 80)));
}

void Service::handle(const HttpRequest& request, const std::shared_ptr<Exchange>& exchange) {
    try {
        const Entry& entry = permitted(request);
        if (entry.handler != nullptr) {
            exchange->respond((this->*entry.handler)(request));
        } else {
            generate(request, request.path == "/v1/chat/completions", exchange);
        }
    } catch (...) {
        exchange->respond(as_api_error(std::current_exception()).response());
    }
}

void Service::generate(const HttpRequest& request, bool is_chat,
                       const std::shared_ptr<Exchange>& exchange) {
    GenerationRequest wanted =
        is_chat ? read_chat(request.body, model_) : read_completion(request.body, model_);
    // Cached beginnings tell by their speed what others asked: shared among the users of one key.
    wanted.order.shares_prefix = options_.keys.size() <= 1;
    const std::string id =
        fmt::format("{}-{:x}-{}", is_chat ? "chatcmpl" : "cmpl", started_, next_id_++);
    std::shared_ptr<Job> job;
    {
        const std::lock_guard lock(mutex_);
        admit(wanted);
        job = std::make_shared<Job>(JobPlace{model_, metrics_}, std::move(wanted), id, exchange);
        jobs_.push_back(job);
    }
    job->start(engine_);
}

// Under the mutex, so that abort_all() behind drain() finds all that were let in.
void Service::admit(const GenerationRequest& request) {
    if (is_draining_) {
        metrics_.count_rejected("draining");
        throw ApiError(503, "the server is going down");
    }
    std::erase_if(jobs_, [](const auto& job) { return job->is_done(); });
    int64_t n_sequences = std::ssize(request.prompts) * request.n;
    int64_t n_tokens = request.n_prompt_tokens();
    for (const auto& job : jobs_) {
        n_sequences += job->n_sequences();
        if (!job->has_begun()) n_tokens += job->n_prompt_tokens();
    }
    const int64_t most = engine_.limits().sequences + options_.max_queue;
    const bool is_alone = jobs_.empty();
    if (!is_alone && (n_sequences > most || n_tokens > limits::kQueuedTokens)) {
        metrics_.count_rejected("queue_full");
        throw ApiError(429, fmt::format("{} sequences are running or waiting; come again",
                                        n_sequences - std::ssize(request.prompts) * request.n));
    }
}

void Service::tick(Clock::time_point now) {
    std::vector<std::shared_ptr<Job>> jobs;
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(jobs_, [](const auto& job) { return job->is_done(); });
        jobs.assign(jobs_.rbegin(), jobs_.rend());  // those that wait, first
    }
    for (const auto& job : jobs) {
        const auto age = now - job->since();
        if (age > options_.request_time) {
            job->abort(ApiError(408, fmt::format("the request took longer than {} s",
                                                 options_.request_time.count())));
        } else if (age > options_.queue_time && !job->has_begun()) {
            metrics_.count_rejected("queue_time");
            job->abort(ApiError(429, fmt::format("the request waited longer than {} s",
                                                 options_.queue_time.count())));
        } else {
            job->tick(now);
        }
    }
}

void Service::drain() {
    is_draining_ = true;
}

bool Service::is_idle() const {
    const std::lock_guard lock(mutex_);
    return std::ranges::all_of(jobs_, [](const auto& job) { return job->is_done(); });
}

void Service::abort_all(const ApiError& error) {
    std::vector<std::shared_ptr<Job>> jobs;
    {
        const std::lock_guard lock(mutex_);
        jobs.assign(jobs_.rbegin(), jobs_.rend());  // those that wait, first
    }
    for (const auto& job : jobs) job->abort(error);
}

HttpResponse Service::page(const HttpRequest& /*request*/) {
    HttpResponse response = {.content_type = "text/html; charset=utf-8", .body = assets::page()};
    response.headers = {
        {"Content-Security-Policy", assets::page_policy()},
        {"Referrer-Policy", "no-referrer"},
        {"Cache-Control", "no-cache"},
    };
    return response;
}

HttpResponse Service::openapi(const HttpRequest& /*request*/) {
    return json_response(assets::openapi());
}

HttpResponse Service::health(const HttpRequest& /*request*/) {
    if (is_draining_) throw ApiError(503, "the server is going down");
    return json_response(R"({"status":"ok"})");
}

HttpResponse Service::metrics(const HttpRequest& /*request*/) {
    const std::string labels =
        fmt::format("{{version=\"{}\",commit=\"{}\"}}", options_.version, options_.commit);
    return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
            .body = metrics_.text(engine_.load(), labels)};
}

HttpResponse Service::version(const HttpRequest& /*request*/) {
    return to_response(Json::Object{{"version", options_.version}, {"commit", options_.commit}});
}

HttpResponse Service::props(const HttpRequest& /*request*/) {
    const runtime::SamplingOptions& sampling = model_.facts().sampling;
    return to_response(Json::Object{
        {"model", model_.facts().name},
        {"context", model_.facts().context},
        {"max_batch", engine_.limits().sequences},
        {"cache_pages", engine_.limits().n_pages},
        {"has_chat_template", model_.chat_template() != nullptr},
        {"default_sampling",
         Json::Object{{"temperature", as_written(sampling.temperature)},
                      {"top_k", sampling.top_k},
                      {"top_p", as_written(sampling.top_p)},
                      {"min_p", as_written(sampling.min_p)},
                      {"repetition_penalty", as_written(sampling.repetition_penalty)}}}});
}

Json Service::model_json() const {
    return Json::Object{{"id", model_.facts().name},
                        {"object", "model"},
                        {"created", started_},
                        {"owned_by", "quarot"},
                        {"max_model_len", model_.facts().context},
                        {"meta", model_.facts().recipe}};
}

HttpResponse Service::models(const HttpRequest& /*request*/) {
    return to_response(Json::Object{{"object", "list"}, {"data", Json::Array{model_json()}}});
}

HttpResponse Service::model(const HttpRequest& request) {
    const size_t begin = std::string_view("/v1/models/").size();
    model_.require_name(unescaped(std::string_view(request.path).substr(begin)));
    return to_response(model_json());
}

HttpResponse Service::tokenizer_info(const HttpRequest& /*request*/) {
    const tokenizer::Tokenizer& tokenizer = model_.tokenizer();
    const auto named = [&](std::optional<int32_t> id) {
        return id ? Json(tokenizer.token(*id)) : Json();
    };
    const bool has_chat = model_.chat_template() != nullptr;
    return to_response(
        Json::Object{{"tokenizer_class", "quarot"},
                     {"bos_token", named(tokenizer.bos())},
                     {"eos_token", named(tokenizer.eos())},
                     {"pad_token", Json()},
                     {"chat_template", has_chat ? Json(model_.chat_text()) : Json()}});
}

HttpResponse Service::tokenize(const HttpRequest& request) {
    BodyFields fields(request.body);
    model_.require_name(fields.text("model", ""));
    const bool special = fields.boolean("add_special_tokens", true);
    std::vector<int32_t> ids;
    const std::string text = fields.text("prompt", fields.text("content", ""));
    const bool has_text = fields.find("prompt") != nullptr || fields.find("content") != nullptr;
    const bool has_messages = fields.find("messages") != nullptr;
    if (has_text == has_messages) {
        throw ApiError(400, has_text ? "prompt is given beside messages" : "prompt is missing",
                       "prompt");
    }
    if (has_messages) {
        ids = chat::encode(model_.tokenizer(), render_messages(fields, model_));
    } else {
        require_length("prompt", text, model_);
        const auto bos = special ? tokenizer::AddBos::Auto : tokenizer::AddBos::None;
        ids = model_.tokenizer().encode(text, bos);
    }
    return to_response(Json::Object{{"tokens", Json::Array(ids.begin(), ids.end())},
                                    {"count", std::ssize(ids)},
                                    {"max_model_len", model_.facts().context}});
}

HttpResponse Service::detokenize(const HttpRequest& request) {
    BodyFields fields(request.body);
    model_.require_name(fields.text("model", ""));
    const Json* tokens = fields.find("tokens");
    if (tokens == nullptr) throw ApiError(400, "tokens is missing", "tokens");
    std::vector<int32_t> ids;
    const bool is_empty = tokens->is_array() && tokens->as_array().empty();
    if (!is_empty) ids = as_ids("tokens", *tokens, model_);
    return to_response(Json::Object{{"prompt", model_.tokenizer().decode(ids, false)}});
}

HttpResponse Service::apply_template(const HttpRequest& request) {
    BodyFields fields(request.body);
    model_.require_name(fields.text("model", ""));
    return to_response(Json::Object{{"prompt", render_messages(fields, model_).text}});
}

}  // namespace quarot::serve
