// Options about how the machine is run; most are ours alone. Also the list of refused ones.
#include "emulator/accel/x86_cpu.hpp"
#include "emulator/cli/option_table.hpp"

namespace emu::cli {

namespace {

using base::Errc;

base::Error bad(std::string text)
{
    return base::fail(Errc::invalid_argument, std::move(text));
}

base::Status stop_at(Options& options, const std::string& value)
{
    auto number = parse_number(value, "instructions");
    if (!number) {
        return std::move(number).error();
    }
    options.stop_at = number.value();
    return base::ok();
}

base::Status state_hash(Options& options, const std::string&)
{
    options.state_hash = true;
    return base::ok();
}

base::Status tier(Options& options, const std::string& value)
{
    if (value == "0") {
        options.tier = TierChoice::interpret;
    } else if (value == "1") {
        options.tier = TierChoice::compile;
    } else if (value == "auto") {
        options.tier = TierChoice::automatic;
    } else {
        return bad("the tier is 0, 1 or auto");
    }
    return base::ok();
}

base::Status code_cache(Options& options, const std::string& value)
{
    auto size = parse_size(value, u64{1} << 20, "size");
    if (!size) {
        return std::move(size).error();
    }
    constexpr u64 kMost = u64{4} << 30;
    if (size.value() < accel::kMinCodeCacheBytes || size.value() > kMost) {
        return bad("the code cache has 256k to 4G");
    }
    options.code_cache_bytes = size.value();
    return base::ok();
}

base::Status ips(Options& options, const std::string& value)
{
    auto number = parse_number(value, "instructions per second");
    if (!number) {
        return std::move(number).error();
    }
    constexpr u64 kLeast = 100'000;
    constexpr u64 kMost = 100'000'000'000;
    if (number.value() < kLeast || number.value() > kMost) {
        return bad("from 100000 to 100000000000 instructions per guest second");
    }
    options.ips = number.value();
    return base::ok();
}

base::Status seed(Options& options, const std::string& value)
{
    auto number = parse_number(value, "seed");
    if (!number) {
        return std::move(number).error();
    }
    options.seed = number.value();
    return base::ok();
}

template <bool value>
base::Status pacing(Options& options, const std::string&)
{
    options.free_running = value;
    return base::ok();
}

/// -icount shift=N: 2^N nanoseconds an instruction. Guest time is counted always.
base::Status icount(Options& options, const std::string& value)
{
    auto parsed = KeyValues::parse(value, "shift");
    if (!parsed) {
        return std::move(parsed).error();
    }
    KeyValues& values = parsed.value();
    const std::string shift = values.take_or("shift", "auto");
    if (shift != "auto") {
        auto number = parse_number(shift, "shift");
        if (!number || number.value() > 10) {
            return bad("shift is auto or 0 to 10");
        }
        options.ips = u64{1'000'000'000} >> number.value();
    }
    auto sleep = values.take_bool("sleep", true);
    auto align = values.take_bool("align", false);
    if (!sleep || !align) {
        return bad("sleep and align are on or off");
    }
    if (align.value()) {
        return base::fail(Errc::unsupported, "align=on is not implemented");
    }
    if (!sleep.value()) {
        options.free_running = true;
    }
    if (values.take("rr")) {
        return base::fail(Errc::unsupported, "rr=: use --record FILE and --replay FILE");
    }
    return values.finish();
}

} // namespace

std::span<const OptionRow> run_options()
{
    static constexpr OptionRow kRows[] = {
        {"--script", true, text<&Options::script>, "FILE", "run the steps of a script, then exit"},
        {"--report", true, text<&Options::report>, "FOLDER", "where the script's report goes"},
        {"--record", true, text<&Options::record>, "FILE", "write all input with its exact times"},
        {"--replay", true, text<&Options::replay>, "FILE", "run again what was recorded"},
        {"--stop-at", true, stop_at, "N", "stop after exactly N guest instructions"},
        {"--state-hash", false, state_hash, "", "then print a hash of all the guest can see"},
        {"--state-dump", true, text<&Options::state_dump>, "FILE",
         "then write all the guest can see as text, to compare runs with diff"},
        {"--tier", true, tier, "0|1|auto", "interpret, compile, or as it pays (default)"},
        {"--code-cache", true, code_cache, "SIZE", "memory for compiled code (default 16M)"},
        {"--ips", true, ips, "N", "instructions per guest second (default: the CPU's)"},
        {"--seed", true, seed, "N", "seed of whatever is random for the guest"},
        {"--free-running", false, pacing<true>, "", "guest time does not wait for wall time"},
        {"--paced", false, pacing<false>, "", "guest time follows wall time"},
        {"-icount", true, icount, "shift=N[,sleep=off]",
         "2^N ns an instruction; sleep=off: free-running"},
    };
    return kRows;
}

std::span<const RefusedOption> refused_options()
{
    static constexpr std::string_view kNotYet = "not implemented";
    static constexpr RefusedOption kRows[] = {
        {"-loadvm", "snapshots are not implemented"},
        {"-incoming", "migration is not implemented"},
        {"-snapshot-load", kNotYet},
        {"-gdb", "the debugger's port is not implemented"},
        {"-s", "the debugger's port is not implemented"},
        {"-daemonize", "running in the background is not implemented (start it with &)"},
        {"-enable-kvm", "KVM is not implemented"},
        {"-no-acpi", "a machine without ACPI is not implemented (-M isapc has none)"},
        {"-usb", "USB is not implemented"},
        {"-usbdevice", "USB is not implemented"},
        {"-audio", "sound is not implemented"},
        {"-audiodev", "sound is not implemented"},
        {"-soundhw", "sound is not implemented"},
        {"-vnc", "VNC is not implemented (-display sdl, text, none)"},
        {"-spice", "SPICE is not implemented (-display sdl, text, none)"},
        {"-sdl", "write -display sdl"},
        {"-dtb", "no machine with a device tree is implemented"},
        {"-blockdev", "write -drive"},
        {"-object", kNotYet},
        {"-global", kNotYet},
        {"-set", kNotYet},
        {"-readconfig", kNotYet},
        {"-smbios", kNotYet},
        {"-acpitable", kNotYet},
        {"-fw_cfg", kNotYet},
        {"-option-rom", kNotYet},
        {"-pflash", kNotYet},
        {"-mtdblock", kNotYet},
        {"-sd", kNotYet},
        {"-uuid", kNotYet},
        {"-watchdog", kNotYet},
        {"-watchdog-action", kNotYet},
        {"-action", kNotYet},
        {"-sandbox", kNotYet},
        {"-runas", kNotYet},
        {"-chroot", kNotYet},
        {"-numa", kNotYet},
        {"-mem-path", kNotYet},
        {"-mem-prealloc", kNotYet},
        {"-virtfs", kNotYet},
        {"-fsdev", kNotYet},
        {"-trace", kNotYet},
        {"-dfilter", kNotYet},
        {"-singlestep", "not implemented (--tier 0 interprets)"},
        {"-semihosting", kNotYet},
        {"-qmp-pretty", "not implemented (-qmp)"},
        {"-preconfig", kNotYet},
        {"-g", "the guest chooses its resolution"},
        {"-alt-grab", kNotYet},
        {"-ctrl-grab", kNotYet},
        {"-no-quit", kNotYet},
        {"-rotate", kNotYet},
        {"-portrait", kNotYet},
        {"-tpmdev", kNotYet},
        {"-iscsi", kNotYet},
        {"-nbd", kNotYet},
    };
    return kRows;
}

} // namespace emu::cli
