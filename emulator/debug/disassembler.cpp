#include "emulator/debug/disassembler.hpp"

#include "base/host_library.hpp"

#include <capstone/capstone.h>

#include <fmt/format.h>

namespace emu::debug {

namespace {

/// The library's functions, as its header declares them.
struct Capstone {
    decltype(&::cs_open) open = nullptr;
    decltype(&::cs_close) close = nullptr;
    decltype(&::cs_option) option = nullptr;
    decltype(&::cs_disasm) disasm = nullptr;
    decltype(&::cs_free) free = nullptr;
};

base::Result<Capstone> load()
{
    auto library = base::HostLibrary::load("libcapstone.so.4", "libcapstone4");
    if (!library) {
        return std::move(library).error();
    }
    base::HostLibrary& lib = library.value();
    Capstone api;
    lib.find("cs_open", api.open);
    lib.find("cs_close", api.close);
    lib.find("cs_option", api.option);
    lib.find("cs_disasm", api.disasm);
    lib.find("cs_free", api.free);
    if (auto complete = lib.complete(); !complete) {
        return std::move(complete).error();
    }
    return api;
}

const base::Result<Capstone>& capstone()
{
    static const base::Result<Capstone> api = load();
    return api;
}

} // namespace

base::Result<Disassembled> disassemble(std::span<const base::u8> bytes, base::u64 address,
                                       CodeWidth width)
{
    const base::Result<Capstone>& loaded = capstone();
    if (!loaded) {
        return loaded.error();
    }
    const Capstone& api = loaded.value();
    csh handle = 0;
    const cs_mode mode = width == CodeWidth::bits16 ? CS_MODE_16 : CS_MODE_32;
    if (api.open(CS_ARCH_X86, mode, &handle) != CS_ERR_OK) {
        return base::fail(base::Errc::unsupported, "this host's libcapstone does not know x86");
    }
    api.option(handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    cs_insn* insn = nullptr;
    const std::size_t count = api.disasm(handle, bytes.data(), bytes.size(), address, 1, &insn);
    Disassembled result{1,
                        bytes.empty() ? std::string{} : fmt::format(".byte    {:#04x}", bytes[0])};
    if (count == 1) {
        result = {insn->size, fmt::format("{:<8} {}", insn->mnemonic, insn->op_str)};
        api.free(insn, count);
    }
    api.close(&handle);
    return result;
}

} // namespace emu::debug
