// What only qcow2 has, against qemu-img, where that is installed.
#include "imgtool/tests/duel.hpp"

using namespace img;
using img::test::Duel;
using img::test::has_qemu_img;
using img::test::tool;

namespace {

/// When a snapshot was taken is not the same in both.
constexpr const char* kWithoutDates =
    " 2>&1 | sed -E 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}/DATE/; s/\"date-n?sec\": [0-9]+/DATE/'";

/// Each tool finds nothing wrong with the other's image, and both hold the same disk.
void is_sound(const Duel& duel, const std::string& name)
{
    const std::string ours = duel.ours(name), theirs = duel.theirs(name);
    for (const std::string& command :
         {"qemu-img check " + ours, tool() + " check " + ours, tool() + " check " + theirs,
          tool() + " compare " + ours + " " + theirs, "qemu-img compare " + ours + " " + theirs}) {
        const auto done = test::run(command);
        INFO(command << "\n" << done.output);
        CHECK(done.code == 0);
    }
}

} // namespace

TEST_CASE("against qemu-img: qcow2, snapshots")
{
    if (!has_qemu_img()) {
        return;
    }
    for (const std::string options :
         {"compat=1.1", "compat=0.10", "compat=1.1,cluster_size=512",
          "compat=1.1,extended_l2=on,cluster_size=16k", "compat=1.1,refcount_bits=64",
          "compat=1.1,refcount_bits=1"}) {
        INFO(options);
        Duel duel;
        duel.setup("qemu-img convert -f raw -O qcow2 -o " + options + " a.raw x");
        for (const std::string arguments : {
                 "snapshot -c one x",
                 "snapshot -l x",
                 "dd if=a.raw of=y bs=1000 count=3 skip=2",
                 "snapshot -c two x",
                 "snapshot x",
                 "info x",
                 "info --output=json x",
                 "check -q x",
                 "snapshot -a one x",
                 "check -q x",
                 "snapshot -a nope x",
                 "snapshot -d nope x",
                 "snapshot -d one x",
                 "check -q x",
                 "snapshot -l x",
                 "compare x a.raw",
                 "convert -l two -O raw x z",
                 "convert -l nope -O raw x z",
                 "convert -l snapshot.name=two -O raw x z",
                 "convert -l snapshot.id=2 -O raw x z",
                 "convert -l snapshot.id=1 -O raw x z",
                 "resize x +1M",
                 "resize --shrink x 1M",
                 "snapshot -c 3 x",
                 "snapshot -a 2 x",
                 "snapshot -d 3 x",
                 "snapshot -d two x",
                 "check -q x",
                 "info x",
             }) {
            duel.same(arguments + kWithoutDates);
        }
        if (!options.ends_with("bits=1")) {
            is_sound(duel, "x"); // where nothing can be counted twice, both leak
        }
    }
}

TEST_CASE("against qemu-img: qcow2, what snapshot refuses")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup("qemu-img create -f qcow2 -o data_file=d.raw d 1M");
    for (const char* arguments : {
             "snapshot",
             "snapshot -c a",
             "snapshot -c a nope",
             "snapshot -l nope",
             "snapshot -c a -l a.raw",
             "snapshot -c a -d b a.raw",
             "snapshot -c a d",
             "snapshot -a a d",
             "snapshot -d a d",
             "snapshot -l d",
             "snapshot -q -c a d",
             "snapshot -U -l d",
         }) {
        duel.same(arguments);
    }
}

TEST_CASE("against qemu-img: qcow2, resize")
{
    if (!has_qemu_img()) {
        return;
    }
    for (const std::string options :
         {"compat=1.1", "compat=0.10", "compat=1.1,cluster_size=512",
          "compat=1.1,extended_l2=on,cluster_size=16k", "data_file=x.data,data_file_raw=on"}) {
        INFO(options);
        Duel duel;
        duel.setup("qemu-img create -f qcow2 -o " + options +
                   " x 1549312 && qemu-img convert -n -f raw -O qcow2 a.raw x");
        for (const char* arguments : {
                 "resize x 2M",
                 "resize -f qcow2 x +1M",
                 "resize x 1M",
                 "resize --shrink x 1M",
                 "resize --shrink x -- -5k",
                 "resize --shrink x -5k",
                 "resize x +0",
                 "resize x 1000001",
                 "resize x 5E",
                 "resize --preallocation=metadata x 2M",
                 "resize --preallocation=falloc x 3M",
                 "resize --preallocation=full x 4M",
                 "resize --preallocation=foo x 5M",
                 "resize --preallocation=full --shrink x 3M",
                 "check -q x",
                 "info x",
                 "info --output=json x",
                 "resize x",
                 "resize x foo",
                 "resize nope 1M",
                 "resize -q x 5M",
             }) {
            duel.same(arguments);
        }
        if (!options.starts_with("data_file")) { // which is looked for where the tool runs
            is_sound(duel, "x");
        }
    }
}

TEST_CASE("against qemu-img: qcow2, amend", "[slow]")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup("qemu-img convert -f raw -O qcow2 a.raw x && "
               "qemu-img create -f qcow2 -o data_file=d.raw,data_file_raw=on d 1M && "
               "qemu-img create -f qcow2 -o extended_l2=on e 1M && "
               "qemu-img create -f qcow2 -F qcow2 -b x o");
    for (const char* arguments : {
             "amend -o help -f qcow2",
             "amend -o help -f luks",
             "amend -o help -f raw",
             "amend -o help x",
             "amend",
             "amend x",
             "amend -o foo=1 x",
             "amend -o cluster_size=64k x",
             "amend -o extended_l2=on x",
             "amend -o compat=0.10 x",
             "info x",
             "amend -o compat=0.10,lazy_refcounts=on x",
             "amend -o lazy_refcounts=on x",
             "amend -o refcount_bits=8 x",
             "amend -o compat=1.1,refcount_bits=8 x",
             "info x",
             "amend -o refcount_bits=7 x",
             "amend -o refcount_bits=128 x",
             "amend -o refcount_bits=1 x",
             "amend -o compat=0.10 x",
             "amend -o refcount_bits=64,lazy_refcounts=on x",
             "amend -o compat=foo x",
             "amend -o size=2M x",
             "amend -o size=1M x",
             "amend -o size=1000001 x",
             "amend -o size=foo x",
             "amend -o backing_file=a.raw x",
             "amend -o encrypt.new-secret=s x",
             "amend -o encrypt.format=luks x",
             "amend -o data_file=x x",
             "amend -o data_file_raw=on x",
             "amend -o data_file_raw=off x",
             "amend -o compat=0.10,refcount_bits=16,lazy_refcounts=off x",
             "info x",
             "check -q x",
             "amend -o backing_fmt=raw o",
             "amend -o backing_file=x o",
             "amend -o data_file=nope d",
             "info d",
             "amend -o data_file_raw=off,data_file=d.raw d",
             "amend -o compat=0.10 --image-opts "
             "driver=qcow2,file.filename=d,data-file.filename=d.raw",
             "amend -o data_file_raw=off,data_file=d.raw --image-opts "
             "driver=qcow2,file.filename=d,data-file.driver=file,data-file.filename=d.raw",
             "info d",
             "amend -o data_file_raw=on d",
             "amend -o compat=0.10 d",
             "amend -o refcount_bits=1 d",
             "amend -o lazy_refcounts=on d",
             "amend -o size=2M d",
             "amend -o data_file= d",
             "info d",
             "amend -o compat=0.10 e",
             "amend -o extended_l2=off e",
             "amend -o refcount_bits=64 e",
             "amend -o size=2M e",
             "info e",
             "check -q e",
             "amend -f raw -o size=1M a.raw",
         }) {
        duel.same(arguments);
    }
    is_sound(duel, "x");
    is_sound(duel, "e");
}

TEST_CASE("against qemu-img: qcow2, bitmaps")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup("qemu-img convert -f raw -O qcow2 a.raw x && "
               "qemu-img create -f qcow2 -o compat=0.10 old 1M");
    for (const char* arguments : {
             "bitmap",
             "bitmap x",
             "bitmap x b",
             "bitmap --add x b0",
             "bitmap --add x b0",
             "bitmap --add --disable -g 512 x b1",
             "bitmap --add -g 32k --merge b0 x b2",
             "bitmap --add -g 1000 x b3",
             "bitmap --add -g 256 x b3",
             "bitmap --add -g 4G x b3",
             "bitmap -g 64k --clear x b3",
             "bitmap --add x ''",
             "bitmap --remove x nope",
             "bitmap --clear x nope",
             "bitmap --enable x nope",
             "bitmap --merge nope x b0",
             "bitmap --merge b1 -b nope x b0",
             "bitmap -F qcow2 --clear x b0",
             "bitmap -b x --clear x b0",
             "bitmap --enable x b1",
             "bitmap --disable --clear x b0",
             "info x",
             "info --output=json x",
             "check -q x",
             "measure -O qcow2 x",
             "measure --output=json -O qcow2 x",
             "measure -O raw x",
             "measure -O qcow2 -o compat=0.10 x",
             "measure -O qcow2 old",
             "snapshot -a nope x",
             "convert --bitmaps -O qcow2 x y",
             "info y",
             "check -q y",
             "convert --bitmaps -O qcow2 -o compat=0.10 x y",
             "convert --bitmaps -O raw x y",
             "resize x 3M",
             "info x",
             "bitmap --remove x b1",
             "bitmap --remove old b",
             "bitmap --add nope b",
         }) {
        duel.same(arguments);
    }
    is_sound(duel, "x");
    // qemu-img leaves bitmaps in an image of version 2, where it then takes them for inconsistent.
    CHECK(test::run(tool() + " amend -o compat=0.10 " + duel.ours("x")).code == 0);
    CHECK(test::run("qemu-img check -q " + duel.ours("x")).output.empty());
}

TEST_CASE("against qemu-img: qcow2, measure")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup("qemu-img convert -S 0 -f raw -O qcow2 a.raw x && " // no holes inside of clusters
               "qemu-img snapshot -c one x && "
               "qemu-img create -f qcow2 -F qcow2 -b x o");
    for (const char* options : {"encrypt.format=luks,encrypt.key-secret=nope",
                                "encrypt.format=luks",

                                "encrypt.format=luks,encrypt.key-secret=s,encrypt.cipher-alg=foo",
                                "encrypt.format=aes,encrypt.key-secret=nope",
                                "encrypt.format=foo",
                                "encryption=on",
                                "extended_l2=on,cluster_size=8k",
                                "extended_l2=on,cluster_size=16k",
                                "extended_l2=on,compat=0.10",
                                "extended_l2=on,cluster_size=8k,refcount_bits=5",
                                "compat=0.10,refcount_bits=5",
                                "compat=0.10,refcount_bits=8",
                                "refcount_bits=7",
                                "refcount_bits=64",
                                "cluster_size=3000",
                                "cluster_size=512",
                                "cluster_size=2M",
                                "cluster_size=3000,compat=foo",
                                "compat=foo,preallocation=foo",
                                "preallocation=foo",
                                "preallocation=full",
                                "preallocation=metadata",
                                "data_file=d",
                                "compression_type=foo",
                                "lazy_refcounts=on,compat=0.10",
                                "backing_file=x,backing_fmt=qcow2",
                                "foo=1"}) {
        for (const char* source : {"--size 1G", "-f raw a.raw", "x", "o", "-l one x"}) {
            duel.same("measure -O qcow2 --object secret,id=s,data=1 -o " + std::string{options} +
                      " " + source);
        }
    }
    duel.same("measure -O qcow2 -l nope x");
    duel.same("measure -O luks -o key-secret=nope --size 1G");
    // qemu-img measures the host's speed for this, and sometimes fails to.
    CHECK(test::run(tool() + " measure -O qcow2 --object secret,id=s,data=1 -o "
                             "encrypt.format=luks,encrypt.key-secret=s --size 1M")
              .output == "required size: 2424832\nfully allocated size: 3473408\n");
}

TEST_CASE("against qemu-img: qcow2, extended entries")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const char* arguments : {
             "create -f qcow2 -o extended_l2=on x 1549312",
             "create -f qcow2 -o extended_l2=on,compat=0.10 y 1M",
             "create -f qcow2 -o extended_l2=on,compat=0.10,refcount_bits=3 y 1M",
             "create -f qcow2 -o extended_l2=on,cluster_size=8k y 1M",
             "info x",
             "info --output=json x",
             "convert -n -f raw -O qcow2 a.raw x",
             "check -q x",
             "convert -f raw -c -O qcow2 -o extended_l2=on,cluster_size=16k a.raw y",
             "check -q y",
             "create -f qcow2 -o extended_l2=on -F qcow2 -b x o",
             "rebase -u -b '' o",
             "map --output=json o",
             "compare x y",
             "compare x a.raw",
             "create -f qcow2 -o extended_l2=on,preallocation=metadata -F qcow2 -b x o",
             "map --output=json x",
             "check -q o",
         }) {
        duel.same(arguments);
    }
    is_sound(duel, "x");
    is_sound(duel, "y");
}

TEST_CASE("against qemu-img: qcow2, data files")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const char* arguments : {
             "create -f qcow2 -o data_file=d.raw x 1549312",
             "create -f qcow2 -o data_file=d2.raw,data_file_raw=on y 1549312",
             "create -f qcow2 -o data_file_raw=on z 1M",
             "create -f qcow2 -o data_file=sub/d.raw sub/x 1M",
             "convert -n -f raw -O qcow2 a.raw sub/x",
             "create -f qcow2 -o data_file=sub/d.raw sub/x 1549312",
             "convert -n -f raw -O qcow2 a.raw sub/x",
             "compare -f raw -F qcow2 a.raw sub/x",
             "create -f qcow2 -o data_file=d3.raw,compat=0.10 z 1M",
             "create -f qcow2 -o data_file=d3.raw,data_file_raw=on -F qcow2 -b x z",
             "info x",
             "info --output=json x",
             "info y",
             "convert -n -f raw -O qcow2 a.raw x",
             "convert -n -f raw -O qcow2 a.raw y",
             "check -q x",
             "check -q y",
             "map --output=json x",
             "map x",
             "convert -c -n -f raw -O qcow2 a.raw x",
             "compare x y",
             "bitmap --add x b",
             "info x",
             "rebase -b y -F qcow2 x",
             "rebase -b a.raw -F raw y",
             "rebase -u -b a.raw -F raw y",
             "info --image-opts driver=qcow2,file.filename=x,data-file.filename=nope",
             "info --image-opts "
             "driver=qcow2,file.filename=a.raw,data-file.driver=file,data-file.filename=d.raw",
         }) {
        duel.same(arguments);
    }
    // Ours is not longer than the disk.
    CHECK(test::run("cmp -n 1549312 " + duel.ours("d2.raw") + " " + duel.theirs("d2.raw")).code ==
          0);
}
