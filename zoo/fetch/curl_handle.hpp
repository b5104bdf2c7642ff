// One libcurl transfer set up by the house's rules. Private to zoo/fetch.
#pragma once

#include "base/result.hpp"
#include "zoo/fetch/http.hpp"

#include <curl/curl.h>

#include <array>
#include <memory>
#include <string>

namespace zoo {

using CurlEasy = std::unique_ptr<CURL, void (*)(CURL*)>;

/// A handle for the URL: http and https only, also after redirects, of which there may be eight;
/// certificates verified; proxies as the environment says; no content coding.
CurlEasy new_transfer(const std::string& url, const HttpOptions& options);

/// What a finished answer means. `transient` failures are worth another attempt.
struct Verdict {
    bool transient = false;
    base::Status status = base::ok();
};

/// Judges status code and content type. `accept_partial` allows 206.
Verdict judge_answer(CURL* transfer, CURLcode code, bool accept_partial);

/// Whether the answer claims to be a web page: mirrors send those instead of a moved file.
bool is_web_page(CURL* transfer);

} // namespace zoo
