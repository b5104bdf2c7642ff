#include "emulator/cli/drives.hpp"
#include "emulator/cli/options.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

using namespace emu::cli;

namespace {

Options parsed(const std::vector<std::string>& arguments)
{
    auto options = parse_options(arguments);
    INFO((options ? std::string{} : options.error().message));
    REQUIRE(options);
    return std::move(options).value();
}

std::string error_of(const std::vector<std::string>& arguments)
{
    auto options = parse_options(arguments);
    REQUIRE_FALSE(options);
    return options.error().message;
}

} // namespace

TEST_CASE("options: a command line as people type it")
{
    const Options options = parsed({"-M",
                                    "pc",
                                    "-m",
                                    "256",
                                    "-cpu",
                                    "pentium",
                                    "-hda",
                                    "d.qcow2",
                                    "-cdrom",
                                    "os.iso",
                                    "-boot",
                                    "d",
                                    "-display",
                                    "none",
                                    "-serial",
                                    "stdio",
                                    "-monitor",
                                    "none",
                                    "-net",
                                    "none",
                                    "-no-reboot",
                                    "-qmp",
                                    "unix:/tmp/q,server=on,wait=off"});

    CHECK(options.ram_bytes == 256u << 20);
    CHECK(options.cpu == "pentium");
    CHECK(options.boot_order == "d");
    CHECK(options.drives.size() == 2);
    CHECK_FALSE(options.reboot);
    CHECK(options.display == DisplayKind::none);
    CHECK(options.qmp[0].spec.address.path == "/tmp/q");
    CHECK_FALSE(options.qmp[0].spec.wait);
}

TEST_CASE("options: -drive in full")
{
    const Options options =
        parsed({"-drive", "file=a,,b.img,format=raw,if=floppy,index=1", "-drive",
                "if=none,id=cd,file=x.iso", "-device", "ide-cd,drive=cd,bus=ide.1,unit=1"});

    CHECK(options.drives[0].file == "a,b.img");
    CHECK(options.drives[0].format == "raw");
    CHECK(options.drives[0].interface == DriveInterface::floppy);
    CHECK(options.drives[1].cdrom);
    CHECK(options.drives[1].index == 3u);
}

TEST_CASE("options: our own, with two dashes and either form of value")
{
    const Options options =
        parsed({"--stop-at=1000", "--state-hash", "--tier", "0", "--code-cache", "1M", "--ips",
                "100000000", "--rtc-start", "1995-01-02T03:04:05", "--display", "text"});

    CHECK(options.stop_at == 1000u);
    CHECK(options.tier == TierChoice::interpret);
    CHECK(options.code_cache_bytes == 1u << 20);
    CHECK(options.rtc_start_s == 789'015'845);
    CHECK(options.display == DisplayKind::text);
}

TEST_CASE("options: sizes have suffixes, and fractions of them")
{
    const auto memory = [](const std::string& text) { return parsed({"-m", text}).ram_bytes; };

    CHECK(memory("3.5G") == 3'758'096'384);
    CHECK(memory("size=1.5g") == 1'610'612'736);
    CHECK(memory("64") == 64u << 20);
    CHECK(memory("0x4b") == 75u << 20); // b is a digit here
    CHECK(memory("65536k") == 64u << 20);
    CHECK(parsed({"--code-cache", "2.5M"}).code_cache_bytes == 2'621'440);
    CHECK(error_of({"-m", "3.5"}) == "-m 3.5: size: '3.5' is not a size");
    CHECK(error_of({"-m", "1e3"}) == "-m 1e3: size: '1e3' is not a size");
    CHECK(error_of({"-m", "-1"}) == "-m -1: size: '-1' is not a size");
    CHECK(error_of({"-m", "8E"}) == "-m 8E: size: '8E' is too large");
    CHECK(error_of({"-m", "9000000000000"}) ==
          "-m 9000000000000: size: '9000000000000' is too large");
}

TEST_CASE("options: the rate is the CPU's unless one is given")
{
    CHECK(instructions_per_second(parsed({})) == 1'000'000'000);
    CHECK(instructions_per_second(parsed({"-cpu", "486"})) == 50'000'000);
    CHECK(instructions_per_second(parsed({"-cpu", "pentium"})) == 200'000'000);
    CHECK(instructions_per_second(parsed({"--ips", "3000000", "-cpu", "486"})) == 3'000'000);
}

TEST_CASE("options: each refusal names the option and what it knows")
{
    CHECK(error_of({"-device", "e1000"}) ==
          "-device e1000: no such device model (known: VGA, isa-debugcon, ide-hd, ide-cd, floppy)");
    CHECK(error_of({"-frob"}) == "-frob: no such option (-help lists them)");
    CHECK(error_of({"-loadvm", "x"}) == "-loadvm: snapshots are not implemented");
    CHECK(error_of({"-daemonize"}).starts_with("-daemonize: running in the background"));
    CHECK(error_of({"-gdb", "tcp::1234"}).starts_with("-gdb: "));
    CHECK(error_of({"-M", "q35"}) == "-M q35: no such machine 'q35' (known: pc, isapc)");
    CHECK(error_of({"-cpu", "host"}) ==
          "-cpu host: no such CPU model (known: 486, pentium, pentium3)");
    CHECK(error_of({"-accel", "kvm"}).find("no such accelerator 'kvm'") != std::string::npos);
    CHECK(error_of({"-smp", "2"}).starts_with("-smp 2: the machine has one CPU"));
    CHECK(error_of({"-nic", "user"}).starts_with("-nic user: 'user': no network adapter"));
    CHECK(error_of({"-vga", "cirrus"}).find("no such display adapter") != std::string::npos);
    CHECK(error_of({"-drive", "file=x,if=virtio"}).find("if=virtio") != std::string::npos);
    CHECK(error_of({"-drive", "file=x,frob=1"}) == "-drive file=x,frob=1: 'frob': no such setting");
    CHECK(error_of({"-serial", "vc"}).find("no such character device: 'vc'") != std::string::npos);
    CHECK(error_of({"-d", "in_asm"}).find("no such log item 'in_asm'") != std::string::npos);
    CHECK(error_of({"-display", "gtk"}).find("no such display 'gtk'") != std::string::npos);
    CHECK(error_of({"-boot", "n"}).find("no network to boot from") != std::string::npos);
    CHECK(error_of({"-m"}) == "-m: requires an argument");
    CHECK(error_of({"-m", "lots"}).find("'lots' is not a size") != std::string::npos);
    CHECK(error_of({"--state-hash"}) == "--state-hash: needs --stop-at");
    CHECK(error_of({"-initrd", "x"}) == "-initrd: only allowed with -kernel");
    CHECK(error_of({"-icount", "rr=record"}).find("use --record FILE") != std::string::npos);
    CHECK(error_of({"-rtc", "clock=host"}).find("clock=host") != std::string::npos);
    CHECK(error_of({"--tier", "2"}).find("the tier is 0, 1 or auto") != std::string::npos);
}

TEST_CASE("options: help answers")
{
    CHECK(parsed({"-M", "help"}).answer.find("isapc") != std::string::npos);
    CHECK(parsed({"-device", "help"}).answer.find("isa-debugcon") != std::string::npos);
    CHECK(parsed({"-cpu", "help"}).answer.find("pentium3") != std::string::npos);
    for (const char* all : {"-help", "-h"}) {
        CHECK(parsed({all}).answer.find("-cdrom FILE") != std::string::npos);
        CHECK(parsed({all}).answer.find("--stop-at N") != std::string::npos);
    }
    CHECK(parsed({"-version"}).answer == "Menagerie emulator version 0.1.0\n");
}

TEST_CASE("options: --help lists topics, and the options of one")
{
    const std::string topics = parsed({"--help"}).answer;
    CHECK(topics.find("usage: emulator") != std::string::npos);
    CHECK(topics.find("--help drives") != std::string::npos);
    CHECK(topics.find("-cdrom FILE") == std::string::npos);
    CHECK(parsed({"--help", "-m", "1"}).answer == topics);

    const std::string drives = parsed({"--help", "drives"}).answer;
    CHECK(drives.find("-cdrom FILE") != std::string::npos);
    CHECK(drives.find("--stop-at") == std::string::npos);
    CHECK(parsed({"--help=drives"}).answer == drives);
    CHECK(parsed({"--help", "all"}).answer == parsed({"-help"}).answer);
    CHECK(error_of({"--help", "disks"}) ==
          "--help disks: no such topic (known: machine, drives, consoles, run, all)");
}

TEST_CASE("options: -icount fixes the ratio of instructions to time")
{
    const Options options = parsed({"-icount", "shift=2,sleep=off"});

    CHECK(instructions_per_second(options) == 250'000'000);
    CHECK(options.free_running == true);
}

TEST_CASE("drive plan: fixed places first, the others fill the gaps, clashes are named")
{
    const auto plan = plan_drives(parsed({"-drive", "file=first", "-hda", "a", "-cdrom", "c"}));
    REQUIRE(plan);
    CHECK(plan.value().ide[0]->file == "a");
    CHECK(plan.value().ide[1]->file == "first");
    CHECK(plan.value().ide[2]->cdrom);
    CHECK(plan.value().floppies[0]->file.empty());

    CHECK(plan_drives(parsed({"-hdc", "x", "-cdrom", "y"})).error().message ==
          "-cdrom y: the place 2 is taken by -hdc x");
    CHECK(plan_drives(parsed({"-drive", "if=none,id=d,file=x"})).error().message ==
          "-drive id=d: no -device uses this drive");
    CHECK_FALSE(plan_drives(parsed({"-nodefaults"})).value().ide[2]);
}

TEST_CASE("medium text: goes into a log and comes back")
{
    DriveOption drive;
    drive.file = "a,b.img";
    drive.format = "raw";
    drive.read_only = true;

    const auto again = parse_medium_text(medium_text(drive));

    REQUIRE(again);
    CHECK(again.value().file == "a,b.img");
    CHECK(again.value().format == "raw");
    CHECK(again.value().read_only);
    CHECK_FALSE(again.value().cdrom);
    CHECK(again.value().interface == DriveInterface::ide);

    drive.cdrom = true;
    CHECK(parse_medium_text(medium_text(drive)).value().cdrom);
    drive.cdrom = false;
    drive.interface = DriveInterface::floppy;
    CHECK(parse_medium_text(medium_text(drive)).value().interface == DriveInterface::floppy);
}

TEST_CASE("medium text: what comes back can be opened, read-only discs and floppies too")
{
    const std::string path = std::filesystem::temp_directory_path() / "menagerie-medium-test.iso";
    std::ofstream{path} << std::string(64 * 2048, 'x');
    emu::cli::DiskActivity activity;
    for (const bool cdrom : {true, false}) {
        DriveOption drive;
        drive.interface = cdrom ? DriveInterface::ide : DriveInterface::floppy;
        drive.cdrom = cdrom;
        drive.file = path;
        drive.format = "raw";
        drive.read_only = true;
        const auto again = parse_medium_text(medium_text(drive)).value();
        CHECK(open_medium(again, false, activity));
    }
    std::filesystem::remove(path);
}

TEST_CASE("options: -L help prints where firmware is looked for")
{
    const std::string answer = parsed({"-L", "help"}).answer;
    CHECK(answer.find("share/menagerie/firmware\n") != std::string::npos);
    CHECK(answer.find("/usr/share/seabios\n") != std::string::npos);
}
