// imgtool against qemu-img, where that is installed: outputs byte for byte, images both ways.
#include "imgtool/tests/duel.hpp"

using namespace img;
using img::test::Duel;
using img::test::has_qemu_img;
using img::test::need;
using img::test::tool;

TEST_CASE("against qemu-img: create says and refuses the same")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const char* arguments : {
             "create -f qcow2 x.qcow2 10M",
             "create -f qcow2 -o compat=v3,lazy_refcounts=on,cluster_size=4K,refcount_bits=8,"
             "compression_type=zstd,extent_size_hint=1M,preallocation=metadata x.qcow2 1M",
             "create -f raw -o preallocation=off,nocow=off x.raw 1.5k",
             "create -q -f qcow2 -b a.raw -F raw o.qcow2",
             "create -f qcow2 -b a.raw -F raw o.qcow2",
             "create -f qcow2 -u -b nope -F raw u.qcow2 1M",
             "create -f qcow2 -b nope -F raw y.qcow2",
             "create -f qcow2 -b a.raw y.qcow2",
             "create -f raw -b a.raw -F raw y.raw",
             "create -f qcow2 y abc",
             "create -f qcow2 y",
             "create -f qcow2 y 99999999999999999999",
             "create -f qcow2 -o size=5M y 6M",
             "create -f qcow2 -o cluster_size=5k y 1M",
             "create -f qcow2 -o lazy_refcounts=maybe y 1M",
             "create -f qcow2 -o compat=7 y 1M",
             "create -f qcow2 -o preallocation=huh y 1M",
             "create -f qcow2 -o refcount_bits=3 y 1M",
             "create -f qcow2 -o compat=0.10,refcount_bits=8 y 1M",
             "create -f foo y 1M",
             "create -f qcow2 -o foo=1 y 1M",
             "create -f qcow2 /nonexistent/y 1M",
             "create -Z y",
             "create -f",
             "create -f qcow2 -o help",
             "create -f raw -o help y",
             "bogus",
             "",
         }) {
        duel.same(arguments);
    }
}

TEST_CASE("against qemu-img: info and map, human and JSON")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup("qemu-img convert -O qcow2 -o cluster_size=4k a.raw b.qcow2 && "
               "qemu-img convert -c -O qcow2 a.raw c.qcow2 && "
               "qemu-img create -q -f qcow2 -b b.qcow2 -F qcow2 o.qcow2 3M && "
               "qemu-img create -q -f qcow2 -b ../o.qcow2 -F qcow2 sub/p.qcow2");
    for (const char* name : {"a.raw", "b.qcow2", "c.qcow2", "o.qcow2", "sub/p.qcow2", "nope"}) {
        for (const char* command : {"info ", "info --output=json ", "info --backing-chain ",
                                    "info --backing-chain --output=json ", "map ",
                                    "map --output=json ", "map --output=json -s 100k -l 1M "}) {
            duel.same(std::string{command} + name);
        }
    }
    duel.same("info");
    duel.same("info a b");
    duel.same("info --output=xml a.raw");
    duel.same("info -f qcow2 a.raw");
    duel.same("map --output=json -s 1G a.raw");
}

TEST_CASE("against qemu-img: check tells the same of the same damage")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup("qemu-img convert -O qcow2 a.raw good.qcow2 && "
               "cp good.qcow2 leak.qcow2 && qemu-img convert -O qcow2 a.raw bad.qcow2 && "
               // counts of clusters 6 and 7, in the refcount block at 128 KiB
               "printf '\\0\\3\\0\\7' | dd of=leak.qcow2 bs=1 seek=131084 conv=notrunc 2>&1 && "
               "printf '\\0\\0\\0\\0' | dd of=bad.qcow2 bs=1 seek=131084 conv=notrunc 2>&1");
    for (const char* arguments :
         {"check good.qcow2", "check --output=json good.qcow2", "check leak.qcow2",
          "check --output=json leak.qcow2", "check bad.qcow2", "check --output=json bad.qcow2",
          "check -q bad.qcow2", "check -r leaks bad.qcow2", "check -r leaks leak.qcow2",
          "check leak.qcow2", "check a.raw", "check", "check nope", "check -r foo good.qcow2"}) {
        duel.same(arguments);
    }
}

TEST_CASE("against qemu-img: what convert writes is equal, and clean for both")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const char* options :
         {"-O raw", "-O qcow2", "-O qcow2 -o compat=0.10", "-O qcow2 -o cluster_size=512",
          "-O qcow2 -o refcount_bits=1", "-O qcow2 -o refcount_bits=64,cluster_size=2M",
          "-c -O qcow2", "-c -O qcow2 -o compression_type=zstd", "-c -O qcow2 -o cluster_size=4k",
          "-O qcow2 -S 0", "-O qcow2 -o preallocation=metadata"}) {
        const std::string o = options;
        const std::string format = o.find("qcow2") != std::string::npos ? "qcow2" : "raw";
        duel.same("convert -f raw " + o + " a.raw x");
        INFO(options);
        // Ours read by theirs, theirs read by ours.
        CHECK(test::run("qemu-img compare -f raw -F " + format + " " + duel.ours("a.raw") + " " +
                        duel.ours("x"))
                  .code == 0);
        CHECK(test::run(tool() + " convert -f " + format + " " + duel.theirs("x") + " " +
                        duel.ours("back.raw") + " && cmp " + duel.ours("back.raw") + " " +
                        duel.ours("a.raw"))
                  .code == 0);
        if (format == "qcow2") {
            CHECK(test::run("qemu-img check " + duel.ours("x")).code == 0);
            CHECK(test::run(tool() + " check " + duel.theirs("x")).code == 0);
        }
    }
    for (const char* arguments :
         {"convert", "convert nope x", "convert -O foo a.raw x", "convert -f foo a.raw x",
          "convert -c -O raw a.raw x", "convert -S 3 a.raw x", "convert -n a.raw nope",
          "convert -O qcow2 a.raw /nonexistent/x", "convert -O qcow2 -B a.raw a.raw x",
          "convert -O raw -B a.raw -F raw a.raw x", "convert -m 99 a.raw x", "convert a.raw a.raw",
          "convert --target-is-zero a.raw x", "convert a.raw x -t huh"}) {
        duel.same(arguments);
    }
}

TEST_CASE("against qemu-img: an image with snapshots is written without harm to them")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup("qemu-img convert -c -O qcow2 -o cluster_size=4k a.raw s.qcow2 && "
               "qemu-img snapshot -c one s.qcow2");
    std::vector<u8> mirror;
    {
        auto disk =
            need(open_disk({.path = duel.ours("s.qcow2"), .format = "qcow2", .read_only = false}));
        mirror = test::scribble(*disk, 4, 60, 30000);
    }
    test::write_file(duel.ours("mirror.raw"), mirror);

    CHECK(test::run("cd " + duel.ours("") +
                    " && qemu-img check s.qcow2 && "
                    "qemu-img compare s.qcow2 mirror.raw && "
                    "qemu-img snapshot -a one s.qcow2 && qemu-img check s.qcow2 && "
                    "qemu-img compare s.qcow2 a.raw")
              .code == 0);
    CHECK(test::run(tool() + " check " + duel.ours("s.qcow2")).code == 0);
}
