#include "imgtool/source/http_source.hpp"

#include "base/host_library.hpp"

#include <curl/curl.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <string_view>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr std::size_t kMaxKept = 8;         // blocks: 2 MiB with blocks as they are by default
constexpr u64 kMaxSize = u64{1} << 62;      // bytes
constexpr std::size_t kMaxHeader = 8 << 10; // bytes of one header line that we look at
constexpr long kMaxRedirects = 10;
constexpr const char* kProtocols = "http,https"; // also of redirections: never file: and the like

struct Api {
    decltype(&::curl_global_init) global_init;
    decltype(&::curl_easy_init) init;
    decltype(&::curl_easy_cleanup) cleanup;
    decltype(&::curl_easy_setopt) setopt;
    decltype(&::curl_easy_perform) perform;
    decltype(&::curl_easy_getinfo) getinfo;
    decltype(&::curl_easy_strerror) strerror;
};

Result<Api> load_api()
{
    auto library = base::HostLibrary::load("libcurl.so.4", "libcurl4");
    if (!library) {
        return std::move(library).error();
    }
    Api api{};
    base::HostLibrary& lib = library.value();
    lib.find("curl_global_init", api.global_init);
    lib.find("curl_easy_init", api.init);
    lib.find("curl_easy_cleanup", api.cleanup);
    lib.find("curl_easy_setopt", api.setopt);
    lib.find("curl_easy_perform", api.perform);
    lib.find("curl_easy_getinfo", api.getinfo);
    lib.find("curl_easy_strerror", api.strerror);
    if (auto good = lib.complete(); !good) {
        return std::move(good).error();
    }
    return api;
}

/// What one response brought.
struct Response {
    u64 wanted = 0; // bytes; more than that is an error
    std::vector<u8> body = {};
    std::string version = {};
    std::string range_line = {};
    bool too_long = false;
};

/// The value of a header line if that is its name (RFC 9110, section 5: names have no case).
std::string_view header_value(std::string_view line, std::string_view name)
{
    const auto lower = [](char c) {
        return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    };
    if (line.size() <= name.size() || line[name.size()] != ':' ||
        !std::equal(name.begin(), name.end(), line.begin(),
                    [&](char a, char b) { return a == lower(b); })) {
        return {};
    }
    line.remove_prefix(name.size() + 1);
    const std::size_t begin = line.find_first_not_of(" \t");
    const std::size_t end = line.find_last_not_of(" \t\r\n");
    return begin == std::string_view::npos ? std::string_view{}
                                           : line.substr(begin, end - begin + 1);
}

std::size_t take_header(char* text, std::size_t size, std::size_t count, void* user)
{
    auto& response = *static_cast<Response*>(user);
    const std::string_view line{text, size * count};
    if (line.size() > kMaxHeader) {
        return line.size();
    }
    if (line.starts_with("HTTP/")) { // another response, after a redirection
        response.version.clear();
        response.range_line.clear();
    }
    if (const auto range = header_value(line, "content-range"); !range.empty()) {
        response.range_line = range;
    }
    if (const auto tag = header_value(line, "etag"); !tag.empty()) {
        response.version = tag;
    }
    const auto modified = header_value(line, "last-modified");
    if (!modified.empty() && response.version.empty()) {
        response.version = modified;
    }
    return line.size();
}

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* user)
{
    auto& response = *static_cast<Response*>(user);
    const std::size_t n = size * count;
    if (n > response.wanted - response.body.size()) {
        response.too_long = true; // the whole file, from a server that knows no ranges
        return 0;
    }
    response.body.insert(response.body.end(), bytes, bytes + n);
    return n;
}

/// "bytes 0-0/1234" (RFC 9110, section 14.4): the first byte's offset and the whole length.
bool parse_range(std::string_view text, u64& first, u64& whole)
{
    const auto number = [&text](u64& into, char before) {
        if (before != '\0') {
            if (text.empty() || text[0] != before) {
                return false;
            }
            text.remove_prefix(1);
        }
        const auto parsed = std::from_chars(text.data(), text.data() + text.size(), into);
        if (parsed.ec != std::errc{}) {
            return false;
        }
        text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
        return true;
    };
    if (!text.starts_with("bytes ")) {
        return false;
    }
    text.remove_prefix(6);
    u64 last = 0;
    return number(first, '\0') && number(last, '-') && number(whole, '/') && text.empty() &&
           last >= first && last < whole;
}

} // namespace

struct HttpSource::Client {
    Api api;
    CURL* handle = nullptr;
    std::array<char, CURL_ERROR_SIZE> message{};

    ~Client()
    {
        if (handle != nullptr) {
            api.cleanup(handle);
        }
    }

    template <class T>
    bool set(CURLoption option, T value)
    {
        return api.setopt(handle, option, value) == CURLE_OK;
    }

    Status set_up(const Request& request)
    {
        const bool good =
            set(CURLOPT_URL, request.url.c_str()) && set(CURLOPT_NOSIGNAL, 1L) &&
            set(CURLOPT_PROTOCOLS_STR, kProtocols) &&
            set(CURLOPT_REDIR_PROTOCOLS_STR, kProtocols) && set(CURLOPT_FOLLOWLOCATION, 1L) &&
            set(CURLOPT_MAXREDIRS, kMaxRedirects) &&
            set(CURLOPT_CONNECTTIMEOUT, request.timeout_s) && set(CURLOPT_LOW_SPEED_LIMIT, 1L) &&
            set(CURLOPT_LOW_SPEED_TIME, request.timeout_s) &&
            set(CURLOPT_SSL_VERIFYPEER, request.verify_tls ? 1L : 0L) &&
            set(CURLOPT_SSL_VERIFYHOST, request.verify_tls ? 2L : 0L) &&
            set(CURLOPT_ERRORBUFFER, message.data()) && set(CURLOPT_HEADERFUNCTION, take_header) &&
            set(CURLOPT_WRITEFUNCTION, take_body) &&
            (request.cookie.empty() || set(CURLOPT_COOKIE, request.cookie.c_str()));
        return good ? base::ok() : Status{fail(Errc::unsupported, "libcurl refuses an option")};
    }

    /// Reads bytes [at, at + length).
    Status get(u64 at, u64 length, Response& response)
    {
        const std::string range = fmt::format("{}-{}", at, at + length - 1);
        response.wanted = length;
        response.body.reserve(length);
        message[0] = '\0';
        if (!set(CURLOPT_RANGE, range.c_str()) || !set(CURLOPT_HEADERDATA, &response) ||
            !set(CURLOPT_WRITEDATA, &response)) {
            return fail(Errc::unsupported, "libcurl refuses an option");
        }
        const CURLcode code = api.perform(handle);
        long status = 0;
        api.getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
        if (status == 200 && (code == CURLE_OK || response.too_long)) {
            return fail(Errc::unsupported, "Server does not support 'range' (byte ranges).");
        }
        if (code == CURLE_OK && status != 206) {
            return fail(Errc::io, fmt::format("The requested URL returned error: {}", status));
        }
        if (code != CURLE_OK || response.body.size() != length) {
            return fail(Errc::io, fmt::format("CURL: Error opening file: {}",
                                              code == CURLE_OK     ? "the response is too short"
                                              : message[0] != '\0' ? message.data()
                                                                   : api.strerror(code)));
        }
        return base::ok();
    }
};

HttpSource::HttpSource(Request request, std::unique_ptr<Client> client)
    : request_{std::move(request)}, client_{std::move(client)}
{}

HttpSource::~HttpSource() = default;

Result<std::unique_ptr<HttpSource>> HttpSource::open(Request request)
{
    auto api = load_api();
    if (!api) {
        return std::move(api).error();
    }
    auto client = std::make_unique<Client>();
    client->api = api.value();
    if (client->api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (client->handle = client->api.init()) == nullptr) {
        return fail(Errc::unsupported, "libcurl cannot be started");
    }
    std::unique_ptr<HttpSource> source{new HttpSource{std::move(request), std::move(client)}};
    if (auto good = source->client_->set_up(source->request_); !good) {
        return std::move(good).error();
    }
    if (auto started = source->start(); !started) {
        return std::move(started).error();
    }
    return source;
}

/// Asks for the first byte, which tells the length and whether the server knows ranges.
Status HttpSource::start()
{
    Response response;
    if (auto done = client_->get(0, 1, response); !done) {
        return done;
    }
    u64 first = 0;
    if (!parse_range(response.range_line, first, size_) || first != 0 || size_ > kMaxSize) {
        return fail(Errc::unsupported, "the server does not say how long the file is");
    }
    version_ = response.version;
    return base::ok();
}

Result<const HttpSource::Block*> HttpSource::block(u64 index)
{
    const auto found = std::ranges::find(kept_, index, &Block::index);
    if (found != kept_.end()) {
        kept_.splice(kept_.begin(), kept_, found);
        return &kept_.front();
    }
    const u64 at = index * request_.read_ahead;
    const u64 length = std::min(request_.read_ahead, size_ - at);
    Response response;
    if (auto done = client_->get(at, length, response); !done) {
        return std::move(done).error();
    }
    u64 first = 0;
    u64 whole = 0;
    if (!parse_range(response.range_line, first, whole) || first != at || whole != size_ ||
        response.version != version_) {
        return fail(Errc::io, fmt::format("'{}' changed on the server", request_.url));
    }
    if (kept_.size() == kMaxKept) {
        kept_.pop_back();
    }
    kept_.push_front({index, std::move(response.body)});
    return &kept_.front();
}

Status HttpSource::read(FileOffset at, std::span<u8> into)
{
    if (at.bytes > size_ || into.size() > size_ - at.bytes) {
        return fail(Errc::io, "read past the end of the file");
    }
    while (!into.empty()) {
        auto found = block(at.bytes / request_.read_ahead);
        if (!found) {
            return std::move(found).error();
        }
        const auto rest = std::span{found.value()->bytes}.subspan(at.bytes % request_.read_ahead);
        const std::size_t n = std::min(rest.size(), into.size());
        std::ranges::copy(rest.first(n), into.begin());
        at.bytes += n;
        into = into.subspan(n);
    }
    return base::ok();
}

namespace {

Status refuse_write()
{
    return fail(Errc::unsupported, "files on web servers are read-only");
}

} // namespace

Status HttpSource::write(FileOffset, std::span<const u8>)
{
    return refuse_write();
}

Status HttpSource::zero(FileOffset, u64)
{
    return refuse_write();
}

Status HttpSource::resize(u64)
{
    return refuse_write();
}

Status HttpSource::reserve(FileOffset, u64)
{
    return refuse_write();
}

} // namespace img
