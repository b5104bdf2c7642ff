// Running the same commands with imgtool and with qemu-img, where that is installed.
#pragma once

#include "imgtool/tests/support.hpp"

#include <cstdlib>
#include <regex>

namespace img::test {

inline std::string tool()
{
    const char* bin = std::getenv("MENAGERIE_BIN");
    return (bin != nullptr ? std::string{bin} : "build/bin") + "/imgtool";
}

inline bool has_qemu_img()
{
    static const bool found =
        run("qemu-img --version").output.find("version 7.2") != std::string::npos;
    if (!found) {
        suite::skip("qemu-img 7.2 is not installed");
    }
    return found;
}

/// Host storage in use is ours to choose, and who holds a lock is told by us only.
inline std::string comparable(std::string text)
{
    text = std::regex_replace(text, std::regex{"\"actual-size\": [0-9]+"}, "\"actual-size\": N");
    text = std::regex_replace(text, std::regex{"disk size: [^\n]*"}, "disk size: N");
    return std::regex_replace(text, std::regex{"\nIt is in use by process [0-9]+\\."}, "");
}

/// Two folders alike, one for each tool, in which the same commands are run.
class Duel {
public:
    Duel()
    {
        setup("mkdir sub && seq 1 90000 > a.raw && truncate -s 1500160 a.raw && "
              "seq 1 9999 >> a.raw && truncate -s 1549312 a.raw");
        REQUIRE(run("mkdir " + (dir_ / "bin") + " && ln -s $(realpath " + tool() + ") " +
                    (dir_ / "bin/qemu-img"))
                    .code == 0);
    }

    void setup(const std::string& command)
    {
        for (const char* side : {"ours", "theirs"}) {
            const auto done =
                run("mkdir -p " + (dir_ / side) + " && cd " + (dir_ / side) + " && " + command);
            INFO(done.output);
            REQUIRE(done.code == 0);
        }
    }

    void same(const std::string& arguments)
    {
        INFO("qemu-img " << arguments);
        const auto ours = run("cd " + (dir_ / "ours") + " && ../bin/qemu-img " + arguments);
        const auto theirs = run("cd " + (dir_ / "theirs") + " && qemu-img " + arguments);
        if (theirs.output.find("Unable to get accurate CPU usage") != std::string::npos) {
            suite::skip("qemu-img could not time its key derivation: " + arguments);
            return;
        }
        CHECK(comparable(ours.output) == comparable(theirs.output));
        CHECK(ours.code == theirs.code);
    }

    /// The same but for what `unlike` finds.
    void same_but(const std::string& unlike, const std::string& arguments)
    {
        INFO("qemu-img " << arguments);
        const std::regex hidden{unlike};
        const auto ours = run("cd " + (dir_ / "ours") + " && ../bin/qemu-img " + arguments);
        const auto theirs = run("cd " + (dir_ / "theirs") + " && qemu-img " + arguments);
        CHECK(std::regex_replace(ours.output, hidden, "") ==
              std::regex_replace(theirs.output, hidden, ""));
        CHECK(ours.code == theirs.code);
    }

    std::string ours(const std::string& name) const { return dir_ / ("ours/" + name); }
    std::string theirs(const std::string& name) const { return dir_ / ("theirs/" + name); }

private:
    TempDir dir_;
};

} // namespace img::test
