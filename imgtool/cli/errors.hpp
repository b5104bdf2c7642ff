// Errors by number, where qemu-img prints them so.
#pragma once

#include "base/result.hpp"

#include <string>

namespace img::cli {

/// The errno value that an error stands for: the one whose text its message ends with, or else one
/// for its kind.
int error_number(const base::Error& error);

/// "-22 (Invalid argument)"
std::string numbered(const base::Error& error);

/// Reports "context: message". Where the message ends with a cause that qemu-img tells by itself,
/// that comes first and a number's text takes its place. Returns kFailure.
int report_caused(const std::string& context, std::string message);
/// Only the last, that is the system's, part of a message that ends with such; else all of it.
std::string system_part(const base::Error& error);

} // namespace img::cli
