// Encrypted images and qcow against qemu-img, where that is installed: read both ways.
#include "imgtool/tests/duel.hpp"

using namespace img;
using img::test::has_qemu_img;
using img::test::TempDir;
using img::test::tool;

namespace {

constexpr const char* kSecret = " --object secret,id=s,data=sesame ";

/// qemu-img fails now and then where the host's CPU clock is coarse ("Unable to get accurate CPU
/// usage"), so it is asked again.
test::Outcome theirs(const std::string& command)
{
    test::Outcome outcome = test::run("qemu-img " + command);
    for (int i = 0; i < 20 && outcome.output.find("CPU usage") != std::string::npos; ++i) {
        outcome = test::run("qemu-img " + command);
    }
    return outcome;
}

struct Case {
    std::string format;
    std::string options; // for making it
    std::string key;     // for opening it
};

} // namespace

TEST_CASE("against qemu-img: qcow and encrypted images are read both ways", "[slow]")
{
    if (!has_qemu_img()) {
        return;
    }
    const Case c = GENERATE(
        Case{"qcow", "", ""}, Case{"qcow", " -c", ""},
        Case{"qcow", " -o encrypt.format=aes,encrypt.key-secret=s", ",encrypt.key-secret=s"},
        Case{"qcow2", " -o encrypt.format=aes,encrypt.key-secret=s", ",encrypt.key-secret=s"},
        Case{"qcow2", " -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
             ",encrypt.key-secret=s"},
        Case{"luks", " -o key-secret=s,iter-time=10", ",key-secret=s"},
        Case{"luks",
             " -o key-secret=s,iter-time=10,cipher-mode=cbc,ivgen-alg=essiv,hash-alg=sha512",
             ",key-secret=s"});
    INFO(c.format << c.options);
    TempDir dir;
    const std::string raw = dir / "a.raw";
    REQUIRE(test::run("seq 1 60000 > " + raw + " && truncate -s 1500160 " + raw).code == 0);
    const std::string convert =
        std::string{"convert"} + kSecret + "-f raw -O " + c.format + c.options + " " + raw + " ";
    const auto named = [&](const std::string& file) {
        return " --image-opts driver=" + c.format + ",file.filename=" + file + c.key + " ";
    };
    const auto as_raw = " driver=raw,file.filename=" + raw;

    REQUIRE(test::run(tool() + " " + convert + (dir / "ours")).code == 0);
    CHECK(theirs(std::string{"compare"} + kSecret + named(dir / "ours") + as_raw).code == 0);
    // The empty write by which qemu-img ends a compressed image is one that its qcow refuses, when
    // all is done: it fails without a word, with a good image.
    const bool fails = c.format == "qcow" && c.options == " -c";
    REQUIRE(theirs(convert + (dir / "theirs")).code == (fails ? 1 : 0));
    CHECK(test::run(tool() + " compare" + kSecret + named(dir / "theirs") + as_raw).code == 0);
    CHECK(test::run(tool() + " check --full " + (dir / "theirs")).code == 0);
    for (const char* info : {"info ", "info --output=json "}) {
        for (const char* file : {"ours", "theirs"}) {
            const std::string arguments = " " + std::string{info} + (dir / file);
            const auto ours = // by the other's name, as scripts call it
                test::run("bash -c 'exec -a qemu-img " + tool() + arguments + "'");
            CHECK(ours.output == test::run("qemu-img" + arguments).output);
        }
    }
}

TEST_CASE("against qemu-img: wrong secrets are refused in the same words")
{
    if (!has_qemu_img()) {
        return;
    }
    TempDir dir;
    REQUIRE(test::run("mkdir " + (dir / "bin") + " && ln -s $(realpath " + tool() + ") " +
                      (dir / "bin/qemu-img") + " && cd " + dir.path() + " && bin/qemu-img create" +
                      kSecret + "-f luks -o key-secret=s,iter-time=10 a.luks 1M")
                .code == 0);
    for (const char* arguments : {
             "info --object secret,id=s,file=/nonexistent a.luks",
             "info --object secret,id=s a.luks",
             "info --object secret,id=s,data=a,file=b a.luks",
             "info --object secret,data=a a.luks",
             "info --object secret,id=1s,data=a a.luks",
             "info --object 'secret,id=s,data=YW!Jj,format=base64' a.luks",
             "info --object secret,id=s,data=a,format=foo a.luks",
             "info --object secret,id=s,data=a,foo=bar a.luks",
             "info --object secret,id=s,data=a,keyid=k a.luks",
             "info --object secret,id=k,data=abc --object secret,id=s,data=a,keyid=k,iv=abcd "
             "a.luks",
             "info --object secret,id=s,data=a --object secret,id=s,data=b a.luks",
             "info --object foo,id=s,data=a a.luks",
             "info --object id=s a.luks",
             "compare a.luks a.luks",
             "compare --object secret,id=s,data=wrong --image-opts "
             "driver=luks,file.filename=a.luks,key-secret=s "
             "driver=luks,file.filename=a.luks,key-secret=s",
             "create -f luks b.luks 1M",
             "create -f luks -o key-secret=t b.luks 1M",
             "create -f luks -o help",
             "create -f qcow -o help",
         }) {
        INFO("qemu-img " << arguments);
        const std::string in = "cd " + dir.path() + " && ";
        const auto ours = test::run(in + "bin/qemu-img " + arguments);
        const auto other = test::run(in + "qemu-img " + arguments);
        CHECK(ours.output == other.output);
        CHECK(ours.code == other.code);
    }
}
