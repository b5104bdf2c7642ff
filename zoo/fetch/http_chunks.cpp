// Many small files over a few connections (libcurl's multi interface), delivered in order.

#include "zoo/fetch/curl_handle.hpp"

#include <deque>
#include <thread>

namespace zoo {

using base::Errc;
using base::Status;
using base::u8;

namespace {

constexpr std::size_t kWindow = 16; // chunks under way or waiting for their turn
constexpr long kConnections = 6;    // at a time
constexpr int kPollInterval = 1000; // ms

struct Chunk {
    std::size_t index = 0;
    std::size_t max_size = 0;
    std::vector<u8> bytes;
    CurlEasy curl{nullptr, curl_easy_cleanup};
    int attempts = 0;
    bool done = false;
    bool too_big = false;
};

std::size_t on_body(char* data, std::size_t, std::size_t length, void* context)
{
    auto& chunk = *static_cast<Chunk*>(context);
    if (chunk.bytes.size() + length > chunk.max_size) {
        chunk.too_big = true;
        return 0;
    }
    chunk.bytes.insert(chunk.bytes.end(), data, data + length);
    return length;
}

class Window {
public:
    Window(const ChunkRequest& request, const HttpOptions& options)
        : request_{request}, options_{options}, multi_{curl_multi_init()}
    {
        curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, kConnections);
    }

    ~Window()
    {
        for (auto& chunk : chunks_) {
            curl_multi_remove_handle(multi_, chunk->curl.get());
        }
        chunks_.clear();
        curl_multi_cleanup(multi_);
    }
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;

    Status run(const std::function<Status(std::size_t, std::span<const u8>)>& take)
    {
        while (true) {
            fill();
            if (chunks_.empty()) {
                return base::ok();
            }
            int running = 0;
            if (curl_multi_perform(multi_, &running) != CURLM_OK ||
                curl_multi_poll(multi_, nullptr, 0, running > 0 ? kPollInterval : 0, nullptr) !=
                    CURLM_OK) {
                return base::fail(Errc::io, "libcurl's multi interface failed");
            }
            auto finished = collect();
            if (!finished) {
                return finished;
            }
            while (!chunks_.empty() && chunks_.front()->done) {
                auto taken = take(chunks_.front()->index, chunks_.front()->bytes);
                if (!taken) {
                    return taken;
                }
                chunks_.pop_front();
            }
        }
    }

private:
    void fill()
    {
        while (chunks_.size() < kWindow && next_ < request_.urls.size()) {
            auto chunk = std::make_unique<Chunk>();
            chunk->index = next_++;
            chunk->max_size = request_.max_packed_size;
            start(*chunk);
            chunks_.push_back(std::move(chunk));
        }
    }

    void start(Chunk& chunk)
    {
        chunk.bytes.clear();
        chunk.too_big = false;
        ++chunk.attempts;
        chunk.curl = new_transfer(request_.urls[chunk.index], options_);
        CURL* curl = chunk.curl.get();
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &on_body);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &chunk);
        curl_easy_setopt(curl, CURLOPT_PRIVATE, &chunk);
        curl_multi_add_handle(multi_, curl);
    }

    Status collect()
    {
        int left = 0;
        while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
            if (message->msg != CURLMSG_DONE) {
                continue;
            }
            const CURLcode code = message->data.result;
            Chunk* chunk = nullptr;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &chunk);
            curl_multi_remove_handle(multi_, message->easy_handle);
            auto finished = finish(*chunk, code);
            if (!finished) {
                return finished;
            }
        }
        return base::ok();
    }

    Status finish(Chunk& chunk, CURLcode code)
    {
        const std::string where = request_.urls[chunk.index];
        if (chunk.too_big) {
            return base::fail(Errc::corrupt, where + ": larger than a chunk can be");
        }
        if (code == CURLE_OK && is_web_page(chunk.curl.get())) {
            return base::fail(Errc::corrupt,
                              where + ": a web page (text/html) instead of the file");
        }
        Verdict verdict = judge_answer(chunk.curl.get(), code, false);
        if (verdict.status) {
            chunk.done = true;
            return base::ok();
        }
        if (!verdict.transient || chunk.attempts >= options_.attempts) {
            return std::move(verdict.status).error().in(where);
        }
        std::this_thread::sleep_for(options_.first_pause);
        start(chunk);
        return base::ok();
    }

    const ChunkRequest& request_;
    const HttpOptions& options_;
    CURLM* multi_;
    std::deque<std::unique_ptr<Chunk>> chunks_;
    std::size_t next_ = 0;
};

} // namespace

Status
http_download_chunks(const ChunkRequest& request, const HttpOptions& options,
                     const std::function<Status(std::size_t index, std::span<const u8>)>& take)
{
    return Window{request, options}.run(take);
}

} // namespace zoo
