// Two writers at once, for each format that is written: the second is told who the first is.
#include "imgtool/formats/all.hpp"
#include "imgtool/open.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/tests/duel.hpp"
#include "imgtool/tests/support.hpp"

#include <unistd.h>

using namespace img;
using img::test::need;

namespace {

struct Subject {
    const char* format;
    const char* options; // of create, with -o
};

constexpr Subject kSubjects[]{{"raw", ""},
                              {"qcow", ""},
                              {"qcow2", ""},
                              {"qcow2", "-o data_file=$PWD/data,data_file_raw=on"},
                              {"qed", ""},
                              {"vmdk", ""},
                              {"vmdk", "-o subformat=monolithicFlat"},
                              {"vmdk", "-o subformat=twoGbMaxExtentSparse"},
                              {"vdi", ""},
                              {"vdi", "-o static=on"},
                              {"vpc", ""},
                              {"vpc", "-o subformat=fixed"},
                              {"vhdx", "-o block_size=1M"},
                              {"vhdx", "-o block_size=1M,subformat=fixed"},
                              {"parallels", ""}};

/// A folder with an image "a", and commands that are run in it.
class Folder {
public:
    explicit Folder(const Subject& subject)
    {
        const auto made =
            run(std::string{"create -q -f "} + subject.format + " " + subject.options + " a 3M");
        INFO(made.output);
        REQUIRE(made.code == 0);
    }
    test::Outcome run(const std::string& arguments) const
    {
        return test::run("cd " + dir_.path() + " && " + tool_ + " " + arguments);
    }
    std::string image() const { return dir_ / "a"; }

private:
    test::TempDir dir_;
    std::string tool_ = std::filesystem::absolute(test::tool()).string();
};

std::string holder()
{
    return "It is in use by process " + std::to_string(::getpid()) + ".";
}

OpenOptions writable(const Folder& folder, const Subject& subject)
{
    OpenOptions options{.path = folder.image(), .format = subject.format, .read_only = false};
    options.backing.trust_data_files = true;
    return options;
}

} // namespace

TEST_CASE("lock: for each format a second writer is refused and told who the first is")
{
    for (const Subject& subject : kSubjects) {
        INFO(subject.format << " " << subject.options);
        const Folder folder{subject};
        auto first = need(open_disk(writable(folder, subject)));

        auto second = open_disk(writable(folder, subject));
        REQUIRE_FALSE(second);
        CHECK(second.error().message.find(holder()) != std::string::npos);

        first.reset();
        CHECK(open_disk(writable(folder, subject)));
    }
}

TEST_CASE("lock: for each format the program's commands are refused while someone writes")
{
    for (const Subject& subject : kSubjects) {
        const Folder folder{subject};
        const std::string f = std::string{"-f "} + subject.format + " ";
        auto first = need(open_disk(writable(folder, subject)));
        const std::string before = folder.run("hash -U " + f + "a").output;
        for (const std::string& command :
             {"bench -w -c 1 -s 512 " + f + "a", "resize " + f + "a 4M", "info " + f + "a",
              "check " + f + "a", "check -r all " + f + "a", std::string{"snapshot -c s a"},
              "bitmap --add " + f + "a b", "amend " + f + "-o size=4M a", "commit " + f + "a",
              "rebase -u " + f + "-b '' a", "convert -n " + f + "-O " + subject.format + " a a"}) {
            INFO(command);
            const auto refused = folder.run(command);
            INFO(refused.output);
            CHECK(refused.code != 0);
            // What the format has no way to do is refused for that.
            const bool told = refused.output.find(holder()) != std::string::npos;
            const bool cannot = refused.output.find("support") != std::string::npos;
            CHECK((told || cannot));
            CHECK((told || (command.substr(0, 4) != "info" && command.substr(0, 5) != "bench")));
        }
        CHECK(folder.run("info -U " + f + "a").code == 0);
        CHECK(folder.run("hash -U " + f + "a").output == before);
    }
}
