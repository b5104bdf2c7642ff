#include "emulator/cli/drives.hpp"

#include "imgtool/open.hpp"

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace emu::cli {

namespace {

using base::Errc;

class CountingDisk final : public img::Disk {
public:
    CountingDisk(std::unique_ptr<img::Disk> disk, DiskActivity& activity)
        : disk_{std::move(disk)}, activity_{activity}
    {}
    u64 size() const override { return disk_->size(); }
    bool read_only() const override { return disk_->read_only(); }
    base::Status read(u64 offset, std::span<u8> into) override
    {
        ++activity_.count;
        return disk_->read(offset, into);
    }
    base::Status write(u64 offset, std::span<const u8> from) override
    {
        ++activity_.count;
        unflushed_ = true;
        return disk_->write(offset, from);
    }
    base::Status write_zeroes(u64 offset, u64 length) override
    {
        ++activity_.count;
        unflushed_ = true;
        return disk_->write_zeroes(offset, length);
    }
    /// Not counted as activity: the machine also flushes by the host's clock.
    base::Status flush() override
    {
        if (!unflushed_) {
            return base::ok();
        }
        base::Status flushed = disk_->flush();
        unflushed_ = !flushed;
        return flushed;
    }
    base::Status
    visit_written(const std::function<base::Status(u64 offset, u64 length)>& visit) override
    {
        return disk_->visit_written(visit);
    }

private:
    std::unique_ptr<img::Disk> disk_;
    DiskActivity& activity_;
    bool unflushed_ = false;
};

/// Writes of a snapshot may outgrow memory: they go to an unnamed file there.
std::string overlay_folder()
{
    const char* folder = std::getenv("TMPDIR");
    return folder != nullptr && *folder != '\0' ? folder : "/var/tmp";
}

template <std::size_t places>
base::Status put(std::array<std::optional<DriveOption>, places>& plan, const DriveOption& drive)
{
    std::size_t at = drive.index.value_or(0);
    while (!drive.index && at < places && plan[at]) {
        ++at;
    }
    if (at >= places) {
        return base::fail(Errc::invalid_argument,
                          drive.origin + " " + drive.file + ": no place is left for this drive");
    }
    if (plan[at]) {
        return base::fail(Errc::invalid_argument, drive.origin + " " + drive.file + ": the place " +
                                                      std::to_string(at) + " is taken by " +
                                                      plan[at]->origin + " " + plan[at]->file);
    }
    plan[at] = drive;
    return base::ok();
}

void warn_guessed(const std::string& file)
{
    std::fprintf(stderr,
                 "WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
                 "         Automatically detecting the format is dangerous for raw images, write "
                 "operations on block 0 will be restricted.\n"
                 "         Specify the 'raw' format explicitly to remove the restrictions.\n",
                 file.c_str());
}

} // namespace

base::Result<DrivePlan> plan_drives(const Options& options)
{
    DrivePlan plan;
    // Drives with a place of their own come first, so that the others fill the gaps.
    for (const bool placed : {true, false}) {
        for (const DriveOption& drive : options.drives) {
            if (drive.index.has_value() != placed) {
                continue;
            }
            auto done = base::ok();
            if (drive.interface == DriveInterface::ide) {
                done = put(plan.ide, drive);
            } else if (drive.interface == DriveInterface::floppy) {
                done = put(plan.floppies, drive);
            } else if (placed) {
                continue;
            } else {
                done = base::fail(Errc::invalid_argument,
                                  "-drive id=" + drive.id + ": no -device uses this drive");
            }
            if (!done) {
                return std::move(done).error();
            }
        }
    }
    if (options.defaults && !plan.ide[2]) {
        DriveOption empty;
        empty.cdrom = true;
        empty.read_only = true;
        plan.ide[2] = empty;
    }
    if (options.defaults && !plan.floppies[0]) {
        DriveOption empty;
        empty.interface = DriveInterface::floppy;
        plan.floppies[0] = empty;
    }
    return plan;
}

base::Result<OpenedDisk> open_medium(const DriveOption& drive, bool snapshot,
                                     DiskActivity& activity)
{
    const bool floppy = drive.interface == DriveInterface::floppy;
    bool read_only = drive.read_only || drive.cdrom;
    if (floppy && ::access(drive.file.c_str(), W_OK) != 0) {
        read_only = true; // a write-protected floppy
    }
    if (!floppy && !drive.cdrom && drive.read_only && !snapshot) {
        return base::fail(Errc::unsupported, "'" + drive.file +
                                                 "': an IDE disk cannot be read-only (snapshot=on "
                                                 "keeps the image as it is)");
    }
    img::OpenOptions options;
    options.path = drive.file;
    options.format = drive.format;
    options.read_only = read_only || snapshot;
    options.unsafe = drive.unsafe;
    auto chain = img::open_chain(options);
    if (!chain) {
        return std::move(chain).error().in("could not open '" + drive.file + "'");
    }
    const img::Layer& top = chain.value()->layers().front();
    const std::string format = top.format;
    if (top.probed && format == "raw" && !options.read_only) {
        warn_guessed(drive.file);
    }
    std::unique_ptr<img::Disk> disk = std::move(chain).value();
    if (snapshot && !read_only) {
        auto overlay = img::make_overlay(std::move(disk), overlay_folder());
        if (!overlay) {
            return std::move(overlay).error().in("snapshot of '" + drive.file + "'");
        }
        disk = std::move(overlay).value();
    }
    return OpenedDisk{std::make_unique<CountingDisk>(std::move(disk), activity), format};
}

std::string medium_text(const DriveOption& drive)
{
    std::string file;
    for (const char c : drive.file) {
        file += c == ',' ? ",," : std::string(1, c);
    }
    return "file=" + file + (drive.format.empty() ? "" : ",format=" + drive.format) +
           (drive.cdrom ? ",media=cdrom" : "") +
           (drive.interface == DriveInterface::floppy ? ",if=floppy" : "") +
           (drive.read_only ? ",readonly=on" : "");
}

base::Result<DriveOption> parse_medium_text(const std::string& text)
{
    auto values = KeyValues::parse(text, "file");
    if (!values) {
        return std::move(values).error();
    }
    DriveOption drive;
    drive.file = values.value().take_or("file", "");
    drive.format = values.value().take_or("format", "");
    drive.cdrom = values.value().take_or("media", "disk") == "cdrom";
    if (values.value().take_or("if", "ide") == "floppy") {
        drive.interface = DriveInterface::floppy;
    }
    auto read_only = values.value().take_bool("readonly", false);
    if (!read_only) {
        return std::move(read_only).error();
    }
    drive.read_only = read_only.value();
    if (auto finished = values.value().finish(); !finished) {
        return std::move(finished).error();
    }
    return drive;
}

} // namespace emu::cli
