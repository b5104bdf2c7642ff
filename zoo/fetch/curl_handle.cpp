#include "zoo/fetch/curl_handle.hpp"

#include <strings.h>

#include <mutex>
#include <string_view>

namespace zoo {

using base::Errc;

namespace {

constexpr long kMaxRedirects = 8;
constexpr long kConnectLimit = 20; // seconds
constexpr const char* kProtocols = "http,https";

bool is_transient(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

} // namespace

CurlEasy new_transfer(const std::string& url, const HttpOptions& options)
{
    static std::once_flag once; // curl_global_init is not for several threads at once
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    CurlEasy handle{curl_easy_init(), curl_easy_cleanup};
    CURL* curl = handle.get();
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, kProtocols);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, kProtocols);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMaxRedirects);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectLimit);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_limit.count()));
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "menagerie-zoo/0.1");
    return handle;
}

bool is_web_page(CURL* transfer)
{
    char* type = nullptr;
    curl_easy_getinfo(transfer, CURLINFO_CONTENT_TYPE, &type);
    return type != nullptr && ::strncasecmp(type, "text/html", 9) == 0;
}

Verdict judge_answer(CURL* transfer, CURLcode code, bool accept_partial)
{
    long answer = 0;
    curl_easy_getinfo(transfer, CURLINFO_RESPONSE_CODE, &answer);
    if (answer >= 400) {
        return {answer >= 500 || answer == 429 || answer == 408,
                base::fail(Errc::io, "the server answered " + std::to_string(answer))};
    }
    if (code != CURLE_OK) {
        return {is_transient(code), base::fail(Errc::io, curl_easy_strerror(code))};
    }
    if (answer != 200 && !(accept_partial && answer == 206)) {
        return {false, base::fail(Errc::io, "the server answered " + std::to_string(answer))};
    }
    return {};
}

} // namespace zoo
