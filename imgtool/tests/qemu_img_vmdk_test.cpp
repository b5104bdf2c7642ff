// VMDK images against qemu-img: outputs byte for byte, images both ways.
#include "imgtool/tests/duel.hpp"

using namespace img;
using img::test::Duel;
using img::test::tool;

namespace {

constexpr std::array kSubformats{"monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse",
                                 "twoGbMaxExtentFlat", "streamOptimized"};

/// Content IDs are random.
std::string hide_ids(const std::string& arguments)
{
    return arguments + " 2>&1 | sed -E 's/(cid[^0-9]*)[0-9]+/\\1N/'";
}

} // namespace

TEST_CASE("against qemu-img: vmdk create says and refuses the same")
{
    if (!test::has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup("qemu-img create -q -f vmdk base.vmdk 2M");
    for (const char* options :
         {"size=1M", "adapter_type=lsilogic,hwversion=9,toolsversion=77", "adapter_type=foo",
          "compat6=on,hwversion=9", "compat6=on", "subformat=foo",
          "subformat=monolithicFlat,zeroed_grain=on",
          "subformat=monolithicFlat,backing_file=base.vmdk,backing_fmt=vmdk", "zeroed_grain=on",
          "preallocation=foo", "preallocation=full,extent_size_hint=1M",
          "backing_file=a.raw,backing_fmt=raw"}) {
        const std::string size = std::string{options}.starts_with("size") ? "" : " 3M";
        duel.same("create -f vmdk -o " + std::string{options} + " x.vmdk" + size);
    }
    duel.same("create -f vmdk -o help x");
    duel.same("create -f vmdk -b base.vmdk -F vmdk o.vmdk");
    duel.same(hide_ids("info o.vmdk"));
    duel.same(hide_ids("info --output=json o.vmdk"));
    duel.same("create -f vmdk -u -b nope.vmdk -F vmdk u.vmdk 10M");
    duel.same("resize base.vmdk 4M");
}

TEST_CASE("against qemu-img: vmdk info, map and check, of images with data")
{
    if (!test::has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const std::string subformat : kSubformats) {
        CAPTURE(subformat);
        duel.setup("qemu-img convert -O vmdk -o subformat=" + subformat + " a.raw " + subformat +
                   ".vmdk");
        for (const char* command : {"info ", "info --output=json ", "map ", "map --output=json ",
                                    "check ", "check --output=json "}) {
            duel.same(hide_ids(command + subformat + ".vmdk"));
        }
    }
}

TEST_CASE("against qemu-img: what convert makes of vmdk is equal both ways")
{
    if (!test::has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const std::string subformat : kSubformats) {
        CAPTURE(subformat);
        duel.same("convert -O vmdk -o subformat=" + subformat + " a.raw x.vmdk");
        CHECK(test::run("qemu-img compare -f raw -F vmdk " + duel.ours("a.raw") + " " +
                        duel.ours("x.vmdk"))
                  .code == 0);
        CHECK(test::run("qemu-img check " + duel.ours("x.vmdk")).code == 0);
        CHECK(test::run(tool() + " convert " + duel.theirs("x.vmdk") + " " + duel.ours("back.raw") +
                        " && cmp " + duel.ours("back.raw") + " " + duel.ours("a.raw"))
                  .code == 0);
        CHECK(test::run(tool() + " check " + duel.theirs("x.vmdk")).code == 0);
    }
    duel.same("convert -c -O vmdk -o subformat=monolithicFlat a.raw y.vmdk");
}

TEST_CASE("against qemu-img: vmdk headers that lie are refused with the same words")
{
    if (!test::has_qemu_img()) {
        return;
    }
    Duel duel;
    // Granularity, table entries, version, grain offset (VMDK's header).
    for (const char* poke : {"20 \\377\\377\\377\\377", "20 \\0\\0\\0\\0", "44 \\377\\377\\377",
                             "4 \\4", "64 \\0\\0\\1", "12 \\0\\0\\0\\0\\0\\4"}) {
        const std::string text = poke;
        const std::string at = text.substr(0, text.find(' '));
        duel.setup("qemu-img create -q -f vmdk p.vmdk 64M && printf '" +
                   text.substr(text.find(' ') + 1) + "' | dd of=p.vmdk bs=1 seek=" + at +
                   " conv=notrunc status=none");
        duel.same("info p.vmdk");
    }
}
