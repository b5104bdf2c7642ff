// A library of the host that is loaded when it is first needed, so that programs that never need it
// neither map nor link it.
#pragma once

#include "base/result.hpp"

#include <dlfcn.h>

#include <string>

namespace base {

/// A loaded library; it stays loaded for as long as the process runs, as libraries with threads and
/// exit handlers of their own expect.
class HostLibrary {
public:
    /// Loads `name`, a file name with its ABI version ("libcurl.so.4"). Error: `unsupported`, with
    /// the Debian package that has it.
    static Result<HostLibrary> load(const std::string& name, const std::string& package)
    {
        void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (handle == nullptr) {
            return fail(Errc::unsupported, "this needs " + name + " (Debian package " + package +
                                               "), which could not be loaded");
        }
        return HostLibrary{handle};
    }

    /// Looks up a function by the name in its header: `library.find("deflate", api.deflate)`, where
    /// the member is declared as `decltype(&::deflate)`. Notes that one was missing.
    template <class Function>
    void find(const char* symbol, Function*& function)
    {
        function = reinterpret_cast<Function*>(::dlsym(handle_, symbol));
        if (function == nullptr && missing_.empty()) {
            missing_ = symbol;
        }
    }

    /// Error when a function that was looked up is not there.
    Status complete() const
    {
        return missing_.empty() ? ok()
                                : Status{fail(Errc::unsupported,
                                              "a library of this host lacks '" + missing_ + "'")};
    }

private:
    explicit HostLibrary(void* handle) : handle_{handle} {}

    void* handle_;
    std::string missing_;
};

} // namespace base
