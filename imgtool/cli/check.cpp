// imgtool check
#include "imgtool/cli/common.hpp"
#include "imgtool/cli/text.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/open.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>

namespace img::cli {

namespace {

struct Request {
    std::string path;
    std::string format;
    Repair repair = Repair::none;
    bool full = false; // also formats that qemu-img cannot check
    Common common;
};

bool parse_repair(const char* value, Repair& repair)
{
    if (std::strcmp(value, "leaks") == 0) {
        repair = Repair::leaks;
    } else if (std::strcmp(value, "all") == 0) {
        repair = Repair::all;
    } else {
        misuse(fmt::format("Unknown option value for -r (expecting 'leaks' or 'all'): {}", value));
        return false;
    }
    return true;
}

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case 'r':
        return parse_repair(value, request.repair);
    case 'T':
        if (!is_cache_mode(value)) {
            report(fmt::format("Invalid source cache option: {}", value));
            return false;
        }
        return true;
    case kOptFull:
        request.full = true;
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong =
        with_common(std::array<option, 4>{{{"format", required_argument, nullptr, 'f'},
                                           {"cache", required_argument, nullptr, 'T'},
                                           {"full", no_argument, nullptr, kOptFull},
                                           {"repair", required_argument, nullptr, 'r'}}});
    OptionReader reader{argc, argv, "hf:r:T:qU", kLong.data()};
    return read_options(reader, request, take) && take_one_operand(reader, request.path);
}

void print_human(const CheckReport& r)
{
    const auto print = [](const std::string& text) { std::fputs(text.c_str(), stdout); };
    if (r.corruptions == 0 && r.leaks == 0 && r.check_errors == 0) {
        print("No errors were found on the image.\n");
    } else {
        if (r.corruptions != 0) {
            print(fmt::format("\n{} errors were found on the image.\n"
                              "Data may be corrupted, or further writes to the image may corrupt "
                              "it.\n",
                              r.corruptions));
        }
        if (r.leaks != 0) {
            print(fmt::format("\n{} leaked clusters were found on the image.\n"
                              "This means waste of disk space, but no harm to data.\n",
                              r.leaks));
        }
        if (r.check_errors != 0) {
            print(fmt::format("\n{} internal errors have occurred during the check.\n",
                              r.check_errors));
        }
    }
    if (r.total_clusters != 0 && r.allocated_clusters != 0) {
        const auto percent = [](u64 part, u64 whole) {
            return static_cast<double>(part) * 100.0 / static_cast<double>(whole);
        };
        print(fmt::format("{}/{} = {:.2f}% allocated, {:.2f}% fragmented, {:.2f}% compressed "
                          "clusters\n",
                          r.allocated_clusters, r.total_clusters,
                          percent(r.allocated_clusters, r.total_clusters),
                          percent(r.fragmented_clusters, r.allocated_clusters),
                          percent(r.compressed_clusters, r.allocated_clusters)));
    }
    if (r.image_end_offset != 0) {
        print(fmt::format("Image end offset: {}\n", r.image_end_offset));
    }
}

struct Member {
    const char* name;
    u64 CheckReport::*field;
    bool always;
};
// In qemu-img's order; counts of nothing are left out.
constexpr std::array kMembers{
    Member{"image-end-offset", &CheckReport::image_end_offset, false},
    Member{"compressed-clusters", &CheckReport::compressed_clusters, false},
    Member{"total-clusters", &CheckReport::total_clusters, false},
    Member{"corruptions", &CheckReport::corruptions, false},
    Member{"corruptions-fixed", &CheckReport::corruptions_fixed, false},
    Member{"check-errors", &CheckReport::check_errors, true},
    Member{"leaks", &CheckReport::leaks, false},
    Member{"fragmented-clusters", &CheckReport::fragmented_clusters, false},
    Member{"leaks-fixed", &CheckReport::leaks_fixed, false},
    Member{"allocated-clusters", &CheckReport::allocated_clusters, false},
};

void print_json(const CheckReport& r, const std::string& path, const std::string& format)
{
    JsonWriter json;
    json.begin_object();
    for (const Member& member : kMembers) {
        if (member.always || r.*member.field != 0) {
            json.key(member.name);
            json.value(r.*member.field);
        }
    }
    json.key("filename");
    json.value(path);
    json.key("format");
    json.value(format);
    json.end_object();
    std::printf("%s\n", json.text().c_str());
}

/// Opens the image anew for each pass: a repair changes the tables under it.
Result<CheckReport> check_once(const Request& request, Repair repair, std::string& format)
{
    auto options = open_options(request.common, request.path, request.format);
    if (!options) {
        return std::move(options).error();
    }
    options.value().read_only = repair == Repair::none;
    // Its backing files too: without them it is not good for anything.
    auto disk = open_chain(options.value(), OpenFor::check);
    if (!disk) {
        return std::move(disk).error().in(fmt::format("Could not open '{}'", request.path));
    }
    Layer& layer = disk.value()->layers().front();
    format = layer.format;
    const auto show = [](const std::string& problem) {
        std::fprintf(stderr, "%s\n", problem.c_str());
    };
    Image& image = *layer.image;
    const bool wanted = request.full || request.repair != Repair::none || image.checks_by_default();
    auto checked = wanted ? image.check(repair, show) : image.Image::check(repair, show);
    if (!checked && checked.error().message.starts_with("ERROR ")) {
        report(checked.error().message); // a table that is too large to be looked at
        return base::fail(base::Errc::io, "Check failed: File too large");
    }
    if (!checked && checked.error().code != base::Errc::unsupported) {
        return std::move(checked).error().in("Check failed");
    }
    return checked;
}

int exit_code(const CheckReport& r)
{
    return r.check_errors != 0  ? kFailure
           : r.corruptions != 0 ? kCheckCorrupt
           : r.leaks != 0       ? kCheckLeaks
                                : kSuccess;
}

} // namespace

int run_check(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    std::string format;
    auto checked = check_once(request, request.repair, format);
    if (!checked) {
        report(checked.error().message);
        return checked.error().code == base::Errc::unsupported && !format.empty()
                   ? kCheckUnsupported
                   : kFailure;
    }
    CheckReport result = std::move(checked).value();
    const u64 leaks_fixed = result.leaks_fixed;
    const u64 corruptions_fixed = result.corruptions_fixed;
    if (leaks_fixed != 0 || corruptions_fixed != 0) {
        if (!request.common.quiet && request.common.output == Output::human) {
            std::printf("The following inconsistencies were found and repaired:\n\n"
                        "    %llu leaked clusters\n    %llu corruptions\n\n"
                        "Double checking the fixed image now...\n",
                        static_cast<unsigned long long>(leaks_fixed),
                        static_cast<unsigned long long>(corruptions_fixed));
        }
        auto again = check_once(request, Repair::none, format);
        if (!again) {
            return report(again.error().message);
        }
        result = std::move(again).value();
        result.leaks_fixed = leaks_fixed;
        result.corruptions_fixed = corruptions_fixed;
    }
    if (!request.common.quiet) {
        if (request.common.output == Output::json) {
            print_json(result, request.path, format);
        } else {
            print_human(result);
        }
    }
    return exit_code(result);
}

} // namespace img::cli
