// The options that nearly all commands take, and how an image is named on the command line.
#pragma once

#include "imgtool/cli/command.hpp"
#include "imgtool/open.hpp"
#include "imgtool/secret.hpp"

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>

namespace img::cli {

struct Common {
    bool image_opts = false; // --image-opts: names are "driver=qcow2,file.filename=..."
    bool share = false;      // -U
    bool quiet = false;      // -q
    bool progress = false;   // -p
    Output output = Output::human;
    Secrets secrets; // --object secret,id=...
};

/// Long names of those; a command appends them to its own with with_common().
inline constexpr std::array<option, 8> kCommonLong{
    {{"help", no_argument, nullptr, 'h'},
     {"object", required_argument, nullptr, kOptObject},
     {"image-opts", no_argument, nullptr, kOptImageOpts},
     {"force-share", no_argument, nullptr, 'U'},
     {"quiet", no_argument, nullptr, 'q'},
     {"progress", no_argument, nullptr, 'p'},
     {"output", required_argument, nullptr, kOptOutput},
     {}}};

/// A command's own long options and the common ones, as getopt wants them.
template <std::size_t n>
constexpr auto with_common(const std::array<option, n>& own, bool has_output = true)
{
    std::array<option, n + kCommonLong.size()> all{};
    std::size_t i = 0;
    for (const option& o : own) {
        all[i++] = o;
    }
    for (const option& o : kCommonLong) {
        if (o.val != kOptOutput || has_output) {
            all[i++] = o;
        }
    }
    return all;
}

enum class Taken : u8 { yes, no, bad };

/// Takes an option that OptionReader gave if it is a common one; `bad` has been reported. A command
/// lists the letters it wants of "hUqp".
Taken take_common(int c, const char* value, Common& common);

/// Reads all of a command's options; `take` gets those that are not common ones. False when one was
/// wrong, which has been reported.
template <class Request>
bool read_options(OptionReader& reader, Request& request,
                  bool (*take)(int c, const char* value, Request& request))
{
    for (int c = reader.next(); c != OptionReader::kEnd; c = reader.next()) {
        const Taken taken = take_common(c, reader.value(), request.common);
        if (taken == Taken::bad || (taken == Taken::no && !take(c, reader.value(), request))) {
            return false;
        }
    }
    return true;
}

/// Takes exactly as many operands as there are `into`, in their order; false when there are more or
/// fewer, which is reported as `complaint`.
bool take_operands(const OptionReader& reader, std::string_view complaint,
                   std::initializer_list<std::string*> into);

/// Takes the operand of commands that have one; false when it was reported.
bool take_one_operand(const OptionReader& reader, std::string& path);

/// How to open what the user, or an image that the user named, calls `name`. As with qemu-img, such
/// an image may name its backing files as it likes ("json:", "nbd://"), however deep the chain;
/// only images that were found by probing a backing file may not.
Result<OpenOptions> named_options(const Common& common, const std::string& name,
                                  const std::string& format);

/// How to open the image that the user calls `name`: a file, or options after --image-opts.
/// `format` is that of -f; empty when not given. `common` must outlive the opening. Errors are
/// whole messages.
Result<OpenOptions> open_options(const Common& common, const std::string& name,
                                 const std::string& format);

} // namespace img::cli
