// Passphrases and keys that the user gave ("--object secret,id=..."), by their ID.
#pragma once

#include "base/result.hpp"

#include <map>
#include <string>

namespace img {

class Secrets {
public:
    void add(const std::string& id, std::string bytes) { secrets_[id] = std::move(bytes); }

    base::Result<std::string> find(const std::string& id) const
    {
        const auto found = secrets_.find(id);
        if (found == secrets_.end()) {
            return base::fail(base::Errc::invalid_argument, "No secret with id '" + id + "'");
        }
        return found->second;
    }

private:
    std::map<std::string, std::string> secrets_;
};

} // namespace img
