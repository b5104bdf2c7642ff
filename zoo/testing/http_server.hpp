// For tests: testing/http_server.py over a folder, for as long as this lives.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace zoo::testing {

class HttpServer {
public:
    explicit HttpServer(const std::filesystem::path& folder)
    {
        const char* source = std::getenv("MENAGERIE_SOURCE");
        const std::string script =
            std::string{source != nullptr ? source : "."} + "/zoo/testing/http_server.py";
        int to_child[2], from_child[2];
        if (::pipe2(to_child, O_CLOEXEC) != 0 || ::pipe2(from_child, O_CLOEXEC) != 0) {
            throw std::runtime_error("pipe");
        }
        child_ = ::fork();
        if (child_ == 0) {
            ::dup2(to_child[0], STDIN_FILENO);
            ::dup2(from_child[1], STDOUT_FILENO);
            ::execlp("python3", "python3", script.c_str(), folder.c_str(), nullptr);
            ::_exit(127);
        }
        ::close(to_child[0]);
        ::close(from_child[1]);
        input_ = to_child[1];
        std::string port;
        for (char c = 0; ::read(from_child[0], &c, 1) == 1 && c != '\n';) {
            port += c;
        }
        ::close(from_child[0]);
        if (port.empty()) {
            throw std::runtime_error("the test server did not start");
        }
        url_ = "http://127.0.0.1:" + port;
    }
    ~HttpServer()
    {
        ::close(input_); // it ends with its input
        ::waitpid(child_, nullptr, 0);
    }
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    /// "http://127.0.0.1:1234/ok/name".
    std::string url(const std::string& how, const std::string& name) const
    {
        return url_ + "/" + how + "/" + name;
    }
    const std::string& root() const { return url_; }

private:
    pid_t child_ = -1;
    int input_ = -1;
    std::string url_;
};

} // namespace zoo::testing
