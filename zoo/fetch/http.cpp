#include "zoo/fetch/http.hpp"

#include "zoo/fetch/curl_handle.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <thread>

namespace zoo {

using base::Errc;
using base::Status;
using base::u64;
using base::u8;

namespace {

constexpr u64 kMaxOriginSize = 16 * 1024;

/// Where a partial file's bytes came from: the URL and the server's name for that version of the
/// file (a strong ETag or a date), for If-Range (RFC 9110 section 13.1.5).
struct Origin {
    std::string url;
    std::string validator;
};

Origin load_origin(const PartialFile& file)
{
    auto text = read_text(file.origin_path(), kMaxOriginSize);
    if (!text) {
        return {};
    }
    const std::string& lines = text.value();
    const std::size_t end = lines.find('\n');
    if (end == lines.npos) {
        return {};
    }
    return {lines.substr(0, end), lines.substr(end + 1)};
}

/// One attempt at one URL.
class Transfer {
public:
    Transfer(const HttpRequest& request, PartialFile& file, const HttpOptions& options,
             const OnBytes& on_bytes)
        : request_{request}, file_{file}, on_bytes_{on_bytes}, curl_{new_transfer(request.url,
                                                                                  options)}
    {}

    Verdict run()
    {
        CURL* curl = curl_.get();
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
        curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
        curl_easy_setopt(curl, CURLOPT_HEADERDATA, this);
        ask_for_rest();
        const CURLcode code = curl_easy_perform(curl);
        curl_slist_free_all(headers_);
        if (failure_) {
            return {false, *failure_};
        }
        long answer = 0;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
        if (answer == 416 && resumed_from_ > 0) { // our bytes are not a beginning of its file
            (void)file_.restart();
            return {true, base::fail(Errc::io, "the server cannot go on where we were")};
        }
        Verdict verdict = judge_answer(curl, code, resumed_from_ > 0);
        if (verdict.status && !began_) {
            return {false, begin_body() ? base::ok() : Status{*failure_}};
        }
        return verdict;
    }

private:
    void ask_for_rest()
    {
        resumed_from_ = file_.size();
        if (resumed_from_ == 0) {
            return;
        }
        // Not CURLOPT_RESUME_FROM, which takes a whole answer for an error.
        const std::string range = std::to_string(resumed_from_) + "-";
        curl_easy_setopt(curl_.get(), CURLOPT_RANGE, range.c_str());
        const Origin origin = load_origin(file_);
        if (origin.url == request_.url && !origin.validator.empty()) {
            headers_ = curl_slist_append(headers_, ("If-Range: " + origin.validator).c_str());
            curl_easy_setopt(curl_.get(), CURLOPT_HTTPHEADER, headers_);
        }
    }

    static std::size_t on_header(char* data, std::size_t, std::size_t length, void* self)
    {
        static_cast<Transfer*>(self)->take_header({data, length});
        return length;
    }

    void take_header(std::string_view line)
    {
        while (line.ends_with('\n') || line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        if (line.starts_with("HTTP/")) { // a new answer (after a redirect)
            validator_.clear();
            range_start_.reset();
            return;
        }
        const std::size_t colon = line.find(':');
        if (colon == line.npos) {
            return;
        }
        std::string name{line.substr(0, colon)};
        for (char& c : name) {
            c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        }
        std::string_view value = line.substr(colon + 1);
        value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
        const bool strong_tag = name == "etag" && !value.starts_with("W/");
        if (strong_tag || (name == "last-modified" && validator_.empty())) {
            validator_ = value;
        } else if (name == "content-range" && value.starts_with("bytes ")) {
            range_start_ = std::strtoull(std::string{value.substr(6)}.c_str(), nullptr, 10);
        }
    }

    static std::size_t on_body(char* data, std::size_t, std::size_t length, void* self)
    {
        auto& transfer = *static_cast<Transfer*>(self);
        return transfer.take_body({reinterpret_cast<const u8*>(data), length}) ? length : 0;
    }

    bool refuse(base::Error error)
    {
        failure_ = std::move(error);
        return false;
    }

    /// Before the first byte: is this the file, and from where on?
    bool begin_body()
    {
        began_ = true;
        CURL* curl = curl_.get();
        long answer = 0;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
        if (is_web_page(curl)) {
            return refuse(base::fail(Errc::corrupt,
                                     "the server sent a web page (text/html) instead of the file"));
        }
        if (answer == 206 && range_start_ != resumed_from_) {
            return refuse(base::fail(Errc::corrupt, "the server sent another range than asked"));
        }
        if (answer == 200 && file_.size() > 0) { // changed, or it does not know ranges
            auto restarted = file_.restart();
            if (!restarted) {
                return refuse(std::move(restarted).error());
            }
        }
        curl_off_t length = -1;
        curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        if (length >= 0 && request_.size &&
            file_.size() + static_cast<u64>(length) != *request_.size) {
            return refuse(
                base::fail(Errc::corrupt,
                           fmt::format("wrong size: {} bytes instead of {}",
                                       file_.size() + static_cast<u64>(length), *request_.size)));
        }
        auto noted = write_text(file_.origin_path(), request_.url + "\n" + validator_);
        return noted ? true : refuse(std::move(noted).error());
    }

    bool take_body(std::span<const u8> bytes)
    {
        long answer = 0;
        curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &answer);
        if (answer >= 400) {
            return true; // an error page: read past it
        }
        if (!began_ && !begin_body()) {
            return false;
        }
        const u64 limit = request_.size.value_or(request_.max_size);
        if (file_.size() + bytes.size() > limit) {
            return refuse(
                base::fail(Errc::corrupt, fmt::format("wrong size: more than {} bytes", limit)));
        }
        auto written = file_.append(bytes);
        if (!written) {
            return refuse(std::move(written).error());
        }
        on_bytes_(file_.size());
        return true;
    }

    const HttpRequest& request_;
    PartialFile& file_;
    const OnBytes& on_bytes_;
    CurlEasy curl_;
    curl_slist* headers_ = nullptr;
    u64 resumed_from_ = 0;
    bool began_ = false;
    std::string validator_;
    std::optional<u64> range_start_;
    std::optional<base::Error> failure_;
};

} // namespace

Status http_download(const HttpRequest& request, PartialFile& file, const HttpOptions& options,
                     const OnBytes& on_bytes)
{
    if (request.size && file.size() == *request.size) {
        return base::ok(); // an earlier run was stopped between the last byte and the check
    }
    if (request.size && file.size() > *request.size) {
        auto restarted = file.restart();
        if (!restarted) {
            return restarted;
        }
    }
    auto pause = options.first_pause;
    for (int attempt = 1;; ++attempt) {
        Verdict verdict = Transfer{request, file, options, on_bytes}.run();
        const bool whole = !request.size || file.size() == *request.size;
        if (verdict.status && whole) {
            return base::ok();
        }
        if (verdict.status) { // the connection ended early without saying so
            verdict = {true, base::fail(Errc::io, fmt::format("the server sent {} of {} bytes",
                                                              file.size(), *request.size))};
        }
        if (!verdict.transient || attempt >= options.attempts) {
            return std::move(verdict.status).error();
        }
        std::this_thread::sleep_for(pause);
        pause *= 2;
    }
}

} // namespace zoo
