// A recipe: which media to fetch, which machine to build, and what must be seen when it runs.
// The fields mirror docs/recipe-format.md; parse.hpp makes one from TOML and judges it.
#pragma once

#include "base/types.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace zoo {

using base::u16;
using base::u32;
using base::u64;

enum class Redistributable { yes, no, unknown };

struct License {
    std::string spdx;
    Redistributable redistributable = Redistributable::unknown;
    std::string note;
};

struct Provenance {
    std::string source;     // who said so
    std::string seen;       // ISO date
    bool confirmed = false; // compared with the upstream server by the zoo itself
};

/// A file published in numbered pieces of equal unpacked size.
struct Chunks {
    std::string url;    // with one {n} or {n:0Wd} or {n:0Wx}
    u64 size = 0;       // unpacked bytes of each but the last
    std::string coding; // plain, gzip or zlib
};

/// A Debian package to take the newest version of when the pinned one has left the archive.
struct CurrentPackage {
    std::string package;
    std::string arch;
    std::string depends; // glob: take that dependency of it instead, or empty
    std::string member;  // glob
    u64 max_size = 0;    // bytes of the member
};

enum class MediaState { live, moved, gone, manual };

struct Media {
    int line = 0;
    std::string name;
    std::vector<std::string> urls;
    std::optional<Chunks> chunks;
    std::optional<CurrentPackage> current;
    u64 size = 0;       // bytes of what the URLs name
    std::string sha256; // lower case
    MediaState state = MediaState::live;
    std::string unpack; // empty: used as it is
    std::string member;
    u64 member_size = 0;
    std::string member_sha256;
    std::vector<Provenance> provenance;

    /// Digest and bytes of what machines use: the member, or the file itself.
    const std::string& final_sha256() const { return unpack.empty() ? sha256 : member_sha256; }
    u64 final_size() const { return unpack.empty() ? size : member_size; }
};

enum class EntryKind { file_of_media, text, symlink, folder, char_device };

/// One file of an initramfs.
struct BuildEntry {
    int line = 0;
    std::string path;
    EntryKind kind = EntryKind::folder;
    std::string content; // name of a media, text, or target of the link
    u32 mode = 0;        // permission bits
    u32 major = 0, minor = 0;
};

struct Build {
    int line = 0;
    std::string name; // used like a media's
    std::string kind; // "initramfs"
    std::vector<BuildEntry> entries;
};

enum class DriveKind { disk, cdrom, floppy };

struct Drive {
    int line = 0;
    DriveKind kind = DriveKind::disk;
    std::string media;
    std::string format; // of the media; never probed
    unsigned index = 0; // 0..3 on IDE, 0..1 for floppies
};

struct Machine {
    std::string board;
    std::string cpu;
    unsigned memory_mib = 0;
    std::string vga;      // "std", "none", or empty for the board's own
    std::string vga_bios; // "seabios" or "lgpl", or empty for the emulator's choice
    std::string nic;
    std::string boot; // a, c, d in any order
    std::string rtc_start;
    std::optional<u64> seed;
    std::optional<u64> ips;
    std::string kernel, initrd, append; // media or build names; kernel command line
    std::vector<Drive> drives;
};

/// A step as the emulator's script takes it: checked, and printed as TOML.
struct Step {
    int line = 0;
    std::string toml; // the lines below [[steps]]
};

struct Run {
    unsigned host_limit_s = 600;
    std::vector<Step> steps;
};

struct Recipe {
    std::filesystem::path file;
    std::string id, os, title, version, summary, homepage, tier;
    std::vector<std::string> tags;
    bool is_default = false;
    bool draft = false;
    License license;
    std::vector<Media> media;
    std::vector<Build> builds;
    Machine machine;
    Run run;

    const Media* find_media(std::string_view name) const;
    const Build* find_build(std::string_view name) const;
};

} // namespace zoo
