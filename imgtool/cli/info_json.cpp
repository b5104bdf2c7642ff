#include "imgtool/cli/info_json.hpp"

#include "imgtool/cli/command.hpp"

namespace img::cli {

namespace {

bool is_on_host(std::string_view driver)
{
    return driver == "file" || driver == "host_device";
}

/// What is specific of a host file: nothing.
void write_file_specific(JsonWriter& json)
{
    json.key("format-specific");
    json.begin_object();
    json.key("type");
    json.value("file");
    json.key("data");
    json.begin_object();
    json.end_object();
    json.end_object();
}

/// Without "snapshots" and the like: they are bytes, nothing else. Of what is not on this host only
/// the size is known.
void write_file(JsonWriter& json, const FileBelow& file)
{
    constexpr u64 kSector = 512; // bytes; qemu-img counts in those
    json.begin_object();
    json.key("children");
    json.begin_array();
    json.end_array();
    json.key("virtual-size");
    json.value((file.size + kSector - 1) / kSector * kSector);
    json.key("filename");
    json.value(file.name);
    json.key("format");
    json.value(file.driver);
    if (is_on_host(file.driver)) {
        json.key("actual-size");
        json.value(file.allocated);
        write_file_specific(json);
        json.key("dirty-flag");
        json.value_bool(false);
    }
    json.end_object();
}

void write_files(JsonWriter& json, const std::vector<FileBelow>& files)
{
    json.key("children");
    json.begin_array();
    for (const FileBelow& file : files) {
        json.begin_object();
        json.key("name");
        json.value(file.role);
        json.key("info");
        write_file(json, file);
        json.end_object();
    }
    json.end_array();
}

void write_snapshots(JsonWriter& json, const std::vector<SnapshotInfo>& snapshots)
{
    json.key("snapshots");
    json.begin_array();
    for (const SnapshotInfo& s : snapshots) {
        json.begin_object();
        if (s.icount) {
            json.key("icount");
            json.value(*s.icount);
        }
        json.key("vm-clock-nsec");
        json.value(s.vm_clock_ns % 1'000'000'000);
        json.key("name");
        json.value(s.name);
        json.key("date-sec");
        json.value(s.date_s);
        json.key("date-nsec");
        json.value(s.date_ns);
        json.key("vm-clock-sec");
        json.value(s.vm_clock_ns / 1'000'000'000);
        json.key("id");
        json.value(s.id);
        json.key("vm-state-size");
        json.value(s.vm_state_size);
        json.end_object();
    }
    json.end_array();
}

void write_property(JsonWriter& json, const Property& p);

void write_properties(JsonWriter& json, const std::vector<Property>& properties)
{
    for (const Property& p : properties) {
        if (p.key != kDetachedHeader || has_later_members()) {
            write_property(json, p);
        }
    }
}

void write_property(JsonWriter& json, const Property& p)
{
    if (!p.key.empty()) {
        json.key(p.key);
    }
    switch (p.kind) {
    case Property::Kind::string:
        json.value(p.text);
        return;
    case Property::Kind::number:
    case Property::Kind::boolean:
        json.raw(p.text);
        return;
    case Property::Kind::object:
        json.begin_object();
        break;
    case Property::Kind::list:
        json.begin_array();
        break;
    }
    write_properties(json, p.members);
    if (p.kind == Property::Kind::object) {
        json.end_object();
    } else {
        json.end_array();
    }
}

void write_specific(JsonWriter& json, const ImageInfo& info)
{
    json.key("format-specific");
    json.begin_object();
    json.key("type");
    json.value(info.format);
    json.key("data");
    json.begin_object();
    write_properties(json, info.specific);
    json.end_object();
    json.end_object();
}

} // namespace

void write_info(JsonWriter& json, const Described& d)
{
    const ImageInfo& info = d.info;
    json.begin_object();
    if (has_later_members()) {
        write_files(json, d.files);
    }
    if (!info.snapshots.empty()) {
        write_snapshots(json, info.snapshots);
    }
    if (!info.backing_format.empty() && !info.backing_name.empty()) {
        json.key("backing-filename-format");
        json.value(info.backing_format);
    }
    json.key("virtual-size");
    json.value(info.size);
    json.key("filename");
    json.value(d.path);
    if (info.cluster_size != 0) {
        json.key("cluster-size");
        json.value(info.cluster_size);
    }
    json.key("format");
    json.value(d.format);
    const bool known = d.allocated != ByteSource::kUnknown;
    if (known) {
        json.key("actual-size");
        json.value(d.allocated);
    }
    if (!info.specific.empty()) {
        write_specific(json, info);
    } else if (is_on_host(d.format) && has_later_members()) {
        write_file_specific(json);
    }
    if (!d.backing_path.empty()) {
        json.key("full-backing-filename");
        json.value(d.backing_path);
    }
    if (info.encrypted) {
        json.key("encrypted");
        json.value_bool(true);
    }
    if (!info.backing_name.empty()) {
        json.key("backing-filename");
        json.value(info.backing_name);
    }
    if (d.has_dirty_flag && info.has_dirty_flag) {
        json.key("dirty-flag");
        json.value_bool(info.dirty);
    }
    json.end_object();
}

} // namespace img::cli
