// [[media]]: what is fetched, how it is known to be right, and what is taken out of it.

#include "zoo/fetch/chunk_url.hpp"
#include "zoo/fetch/deb_url.hpp"
#include "zoo/recipe/sections.hpp"
#include "zoo/store/digest.hpp"
#include "zoo/unpack/unpack.hpp"

#include <fmt/core.h>

#include <array>

namespace zoo {

using namespace base;

namespace {

constexpr std::size_t kSha1Digits = 40;
constexpr std::size_t kMd5Digits = 32;
constexpr i64 kMaxMediaSize = i64{1} << 40; // a limit of ours: no medium of the zoo is larger
constexpr Range kSizes{1, kMaxMediaSize};
constexpr Range kChunkSizes{512, i64{64} << 20}; // chunks are held in memory

constexpr std::array<std::string_view, 4> kStates{"live", "moved", "gone", "manual"};
constexpr std::array<std::string_view, 3> kCodings{"plain", "gzip", "zlib"};

void check_url(const std::string& url, TableReader& reader)
{
    if (url.starts_with("https://") || url.starts_with("http://") || url.starts_with("file:///")) {
        return;
    }
    if (url.starts_with("deb:")) {
        if (!parse_deb_url(url)) {
            reader.problem_at("urls", fmt::format("{}: a package is written "
                                                  "deb:PACKAGE[=VERSION]/ARCH",
                                                  url));
        }
        return;
    }
    reader.problem_at("urls", fmt::format("{}: a URL begins with https://, http://, file:/// or "
                                          "deb:",
                                          url));
}

Chunks parse_chunks(const toml::table& table, const std::string& what, Problems& problems)
{
    TableReader reader{table, what + ": chunks", problems};
    Chunks chunks;
    chunks.url = reader.text("url", Need::required);
    chunks.size = reader.integer("size", Need::required, kChunkSizes).value_or(0);
    chunks.coding = reader.word("coding", Need::optional, kCodings);
    const bool is_http = chunks.url.starts_with("https://") || chunks.url.starts_with("http://");
    if (!chunks.url.empty() && (!is_http || !expand_chunk_url(chunks.url, 0))) {
        reader.problem_at("url",
                          "url must be an http(s) URL with one {n}, {n:0Wd} or {n:0Wx} in it");
    }
    reader.finish();
    return chunks;
}

CurrentPackage parse_current(const toml::table& table, const std::string& what, Problems& problems)
{
    TableReader reader{table, what + ": current", problems};
    CurrentPackage current;
    current.package = reader.text("package", Need::required);
    current.arch = reader.text("arch", Need::required);
    current.depends = reader.text("depends", Need::optional);
    current.member = reader.text("member", Need::required);
    current.max_size = reader.integer("max_size", Need::required, kSizes).value_or(0);
    for (const auto& [key, value] :
         {std::pair{"package", &current.package}, std::pair{"arch", &current.arch}}) {
        if (!value->empty() && !is_debian_name(*value)) {
            reader.problem_at(key, fmt::format("{} is not a name of Debian's", *value));
        }
    }
    if (!current.member.empty() && !is_inside_path(current.member)) {
        reader.problem_at("member", fmt::format("member {} leaves its folder", current.member));
    }
    reader.finish();
    return current;
}

bool is_date(std::string_view text)
{
    constexpr std::string_view kForm = "dddd-dd-dd";
    if (text.size() != kForm.size()) {
        return false;
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool digit = text[i] >= '0' && text[i] <= '9';
        if (kForm[i] == 'd' ? !digit : text[i] != '-') {
            return false;
        }
    }
    return true;
}

Provenance parse_provenance(const toml::table& table, const std::string& what, Problems& problems)
{
    TableReader reader{table, what + ": provenance", problems};
    Provenance provenance;
    provenance.source = reader.text("source", Need::required);
    provenance.seen = reader.text("seen", Need::required);
    provenance.confirmed = reader.flag("confirmed");
    if (!provenance.seen.empty() && !is_date(provenance.seen)) {
        reader.problem_at("seen", "seen must be a date, YYYY-MM-DD, in quotes");
    }
    reader.finish();
    return provenance;
}

void parse_member(TableReader& reader, Media& media)
{
    media.unpack = reader.text("unpack", Need::optional);
    const UnpackKind* kind = find_unpack_kind(media.unpack);
    if (!media.unpack.empty() && kind == nullptr) {
        std::string list;
        for (const UnpackKind& known : unpack_kinds()) {
            list += (list.empty() ? "" : ", ") + std::string{known.name};
        }
        reader.problem_at("unpack",
                          fmt::format("unpack = \"{}\" is not one of: {}", media.unpack, list));
    }
    const Need need = media.unpack.empty() ? Need::optional : Need::required;
    const bool has_members = kind != nullptr && kind->shape == UnpackShape::members;
    media.member = reader.text("member", has_members ? Need::required : Need::optional);
    media.member_size = reader.integer("member_size", need, kSizes).value_or(0);
    media.member_sha256 = reader.digest("member_sha256", need, kSha256Digits);
    if (!media.member.empty() && !is_inside_path(media.member)) {
        reader.problem_at("member", fmt::format("member {} leaves its folder", media.member));
    }
    if (media.unpack.empty()) {
        for (const char* key : {"member", "member_size", "member_sha256"}) {
            if (reader.has(key)) {
                reader.problem_at(key, fmt::format("{} needs unpack", key));
            }
        }
    }
}

void parse_origin(TableReader& reader, Media& media, Problems& problems)
{
    static constexpr std::array<MediaState, kStates.size()> kStateValues{
        MediaState::live, MediaState::moved, MediaState::gone, MediaState::manual};
    const std::string state = reader.word("state", Need::optional, kStates);
    for (std::size_t i = 0; i < kStates.size(); ++i) {
        if (state == kStates[i]) {
            media.state = kStateValues[i];
        }
    }
    if (const toml::table* chunks = reader.table("chunks", Need::optional)) {
        media.chunks = parse_chunks(*chunks, reader.what(), problems);
    }
    if (const toml::table* current = reader.table("current", Need::optional)) {
        media.current = parse_current(*current, reader.what(), problems);
    }
    const bool other_way = media.chunks || media.state == MediaState::manual;
    media.urls = reader.texts("urls", other_way ? Need::optional : Need::required);
    for (const std::string& url : media.urls) {
        check_url(url, reader);
    }
    if (media.urls.empty() && reader.has("urls") && !other_way) {
        reader.problem_at("urls", "no URL at all");
    }
}

} // namespace

bool is_plain_name(std::string_view text)
{
    return !text.empty() && text.size() <= 64 && text.front() != '.' && text.front() != '-' &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == text.npos;
}

Media parse_media(const toml::table& table, bool published, Problems& problems)
{
    TableReader reader{table, "media", problems};
    Media media;
    media.line = reader.line();
    media.name = reader.text("name", Need::required);
    if (!media.name.empty()) {
        if (!is_plain_name(media.name)) {
            reader.problem_at("name", "name must be of a-z, 0-9, '.', '_' and '-'");
        }
        reader.rename(fmt::format("media '{}'", media.name));
    }
    parse_origin(reader, media, problems);
    media.size = reader.integer("size", Need::required, kSizes).value_or(0);
    media.sha256 = reader.digest("sha256", Need::required, kSha256Digits);
    (void)reader.digest("sha1", Need::optional, kSha1Digits); // witnesses for people, never trusted
    (void)reader.digest("md5", Need::optional, kMd5Digits);
    parse_member(reader, media);
    for (const toml::table* entry : reader.tables("provenance")) {
        media.provenance.push_back(parse_provenance(*entry, reader.what(), problems));
    }
    if (published && media.provenance.empty()) {
        reader.problem(reader.line(), "a digest without provenance: say where it comes from in "
                                      "[[media.provenance]], or mark the recipe draft");
    }
    if (reader.has("signature")) {
        (void)reader.node("signature", Need::optional);
        reader.problem_at("signature", "signatures are not checked by this version of zoo");
    }
    reader.finish();
    return media;
}

} // namespace zoo
