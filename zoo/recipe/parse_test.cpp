#include "zoo/recipe/catalogue.hpp"
#include "zoo/recipe/parse.hpp"

#include "zoo/testing/temporary.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>

namespace {

using namespace zoo;

// One line after the other, so that a test can name the line of a problem.
const std::string kGood = R"(schema = 1
id = "tiny"
title = "Tiny"
version = "1"
summary = "A disk."
tier = "smoke"
[license]
spdx = "MIT"
redistributable = "yes"
[[media]]
name = "disk"
urls = ["https://example.org/disk.img"]
size = 512
sha256 = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"
[[media.provenance]]
source = "the site's list"
seen = "2026-11-22"
[machine]
board = "pc"
memory_mib = 16
[[machine.drive]]
kind = "disk"
media = "disk"
format = "raw"
[run]
[[run.steps]]
wait_screen = "C:\\>"
within_guest_s = 1.5
)";

std::string replaced(std::string_view what, std::string_view with)
{
    std::string text = kGood;
    const std::size_t at = text.find(what);
    REQUIRE(at != text.npos);
    return text.replace(at, what.size(), with);
}

ParsedRecipe parse(const std::string& text)
{
    return parse_recipe(text, "recipes/tiny/tiny.toml");
}

/// "LINE: text" for each problem.
std::vector<std::string> problems(const std::string& text)
{
    std::vector<std::string> list;
    for (const Problem& problem : parse(text).problems) {
        list.push_back(std::to_string(problem.line) + ": " + problem.text);
    }
    return list;
}

using List = std::vector<std::string>;

} // namespace

TEST_CASE("recipe: a good one has no problems, and its digests are lower case", "[zoo]")
{
    const ParsedRecipe parsed = parse(kGood);

    CHECK(problems(kGood) == List{});
    CHECK(parsed.recipe.os == "tiny");
    CHECK(parsed.recipe.media.at(0).sha256 ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(parsed.recipe.run.steps.at(0).toml ==
          "wait_screen = \"C:\\\\>\"\nwithin_guest_s = 1.5\n");
}

TEST_CASE("recipe: all problems are reported at once, by line", "[zoo]")
{
    std::string text = replaced("tier = \"smoke\"", "tier = \"smokey\"");
    text.replace(text.find("size = 512"), 10, "size = -1 ");
    text += "colour = 3\n";

    CHECK(problems(text) ==
          List{"6: tier = \"smokey\" is not one of: smoke, nightly, manual",
               "13: media 'disk': size must be an integer from 1 to 1099511627776",
               "29: step 1: unknown key colour"});
}

TEST_CASE("recipe: unknown keys are refused everywhere", "[zoo]")
{
    CHECK(problems(replaced("board = \"pc\"", "bord = \"pc\"")) ==
          List{"18: machine: board is missing", "19: machine: unknown key bord"});
    CHECK(problems(replaced("title", "titel")) ==
          List{"1: title is missing", "3: unknown key titel"});
}

TEST_CASE("recipe: a digest of another length is refused", "[zoo]")
{
    CHECK(problems(replaced("BA78", "BA7")) ==
          List{"14: media 'disk': sha256 must be 64 hexadecimal digits, not all 0"});
}

TEST_CASE("recipe: a digest without provenance is for drafts only", "[zoo]")
{
    std::string text = kGood;
    const std::size_t begin = text.find("[[media.provenance]]");
    text.erase(begin, text.find("[machine]") - begin);

    CHECK(problems(text) ==
          List{"10: media 'disk': a digest without provenance: say where it comes from in "
               "[[media.provenance]], or mark the recipe draft"});
    CHECK(problems("draft = true\n" + text) == List{});
}

TEST_CASE("recipe: paths that leave their folder are refused", "[zoo]")
{
    const std::string text =
        replaced("[[media.provenance]]", "unpack = \"zip\"\nmember = \"../x\"\nmember_size = 1\n"
                                         "member_sha256 = \"" +
                                             std::string(64, 'a') + "\"\n[[media.provenance]]");

    CHECK(problems(text) == List{"16: media 'disk': member ../x leaves its folder"});
}

TEST_CASE("recipe: URLs have a scheme that we know", "[zoo]")
{
    CHECK(problems(replaced("https://example.org", "ftp://example.org")).size() == 1);
    CHECK(problems(replaced("https://example.org/disk.img", "deb:pkg/i386")) == List{});
    CHECK(problems(replaced("https://example.org/disk.img", "deb:pkg;rm/i386")).size() == 1);
}

TEST_CASE("recipe: a drive names a media that is there", "[zoo]")
{
    CHECK(problems(replaced("media = \"disk\"", "media = \"disc\"")) ==
          List{"21: drive: no media is called 'disc'"});
}

TEST_CASE("recipe: two drives in one place are refused", "[zoo]")
{
    const std::string text =
        replaced("[run]\n",
                 "[[machine.drive]]\nkind = \"cdrom\"\nmedia = \"disk\"\nformat = \"raw\"\nindex = "
                 "0\n[run]\n");

    CHECK(problems(text) == List{"25: machine: two drives have index 0"});
}

TEST_CASE("recipe: the id is the file's name", "[zoo]")
{
    CHECK(problems(replaced("id = \"tiny\"", "id = \"tinny\"")) ==
          List{"2: id must be the file's name, tiny"});
}

TEST_CASE("recipe: sections that this version does not know are named", "[zoo]")
{
    CHECK(problems(kGood + "[install]\nx = 1\n") ==
          List{"29: [install] is not known to this version of zoo"});
    CHECK(problems(kGood + "[[build]]\nname = \"d\"\nkind = \"iso\"\nentries = [{path = \"a\", "
                           "folder = true}]\n") ==
          List{"31: build 'd': kind = \"iso\": this version of zoo builds initramfs only"});
}

TEST_CASE("recipe: what is not TOML is one problem with its line", "[zoo]")
{
    const List found = problems("schema = 1\nid = \n");

    REQUIRE(found.size() == 1);
    CHECK(found[0].starts_with("2: not TOML: "));
}

TEST_CASE("recipe: build entries say one thing and stay inside", "[zoo]")
{
    const std::string build = "[[build]]\nname = \"i\"\nkind = \"initramfs\"\nentries = [\n";

    CHECK(problems(kGood + build + "{path = \"a\", text = \"x\", symlink = \"y\"}]\n") ==
          List{"33: build 'i', a: one of media, text, symlink, folder and char says what it is"});
    CHECK(problems(kGood + build + "{path = \"../a\", text = \"x\"}]\n") ==
          List{"33: build 'i', ../a: path ../a leaves its folder"});
    CHECK(problems(kGood + build + "{path = \"a\", media = \"nothing\"}]\n") ==
          List{"33: build 'i': no media is called 'nothing'"});
}

TEST_CASE("steps: one action, its own modifiers, a limit for every wait", "[zoo]")
{
    const std::string step = "[[run.steps]]\n";

    CHECK(problems(kGood + step + "wait_screen = \"x\"\n") ==
          List{"29: step 2: within_guest_s is missing"});
    CHECK(problems(kGood + step + "wait_screen = \"x \"\nwithin_guest_s = 1\n") ==
          List{"30: step 2: rows of the screen do not end in blanks"});
    CHECK(problems(kGood + step + "type = \"x\"\nkey = \"a\"\n") ==
          List{"29: step 2: more than one action"});
    CHECK(problems(kGood + step + "within_guest_s = 1\n") ==
          List{"29: step 2: no action: one key says what to do"});
    CHECK(problems(kGood + step + "type = \"x\"\ncount = 2\n") ==
          List{"31: step 2: unknown key count"});
    CHECK(problems(kGood + step + "wait_serial = \"x\"\ncount = 0\nwithin_guest_s = 1\n") ==
          List{"31: step 2: count must be an integer from 1 to 1000000"});
}

TEST_CASE("steps: a line feed at either end of a text stays", "[zoo]")
{
    const std::string steps = "[[run.steps]]\ntype = \"\\n\"\n"
                              "[[run.steps]]\nwait_screen = \"\\n42\\n\"\nwithin_guest_s = 5\n";

    const ParsedRecipe parsed = parse(kGood + steps);

    REQUIRE(parsed.problems.empty());
    CHECK(parsed.recipe.run.steps.at(1).toml == "type = \"\\n\"\n");
    CHECK(parsed.recipe.run.steps.at(2).toml == "wait_screen = \"\\n42\\n\"\nwithin_guest_s = 5\n");
}

TEST_CASE("steps: pictures and mouse movements are checked", "[zoo]")
{
    const std::string step = "[[run.steps]]\n";

    CHECK(problems(kGood + step + "wait_image = \"none.png\"\nwithin_guest_s = 1\n") ==
          List{"30: step 2: there is no file none.png"});
    CHECK(problems(kGood + step + "wait_image = \"/a.png\"\nwithin_guest_s = 1\n") ==
          List{"30: step 2: wait_image must be the path of a .png below the recipe's folder"});
    CHECK(problems(kGood + step + "mouse = { move = [1] }\n") ==
          List{"30: step 2: mouse: move must be two integers from -10000 to 10000"});
    CHECK(problems(kGood + step + "mouse = { click = \"left\", move = [-5, 7] }\n") == List{});
}

TEST_CASE("catalogue: a name picks a recipe, an OS its default", "[zoo]")
{
    const zoo::testing::TemporaryFolder folder;
    const auto put = [&](const std::string& id, const std::string& head) {
        std::string text = head + kGood;
        text.replace(text.find("\"tiny\""), 6, "\"" + id + "\"");
        zoo::testing::write_file(folder.path() / "tiny" / (id + ".toml"), text);
    };
    put("tiny-a", "");
    put("tiny-b", "default = true\n");
    const Catalogue catalogue = Catalogue::load(folder.path()).value();

    CHECK(catalogue.find("tiny-a").value().id == "tiny-a");
    CHECK(catalogue.find("tiny").value().id == "tiny-b");
    CHECK(catalogue.find("tiny-x").error().message ==
          "no recipe is called 'tiny-x'; there are: tiny-a, tiny-b");
    CHECK(catalogue.conflicts().empty());
}

TEST_CASE("catalogue: the recipes of this project have no problems", "[zoo]")
{
    const char* source = std::getenv("MENAGERIE_SOURCE");
    REQUIRE(source != nullptr);
    const Catalogue catalogue = Catalogue::load(std::filesystem::path{source} / "recipes").value();

    std::string lines;
    for (const ParsedRecipe& parsed : catalogue.recipes()) {
        lines += format_problems(parsed);
    }

    CHECK(catalogue.recipes().size() >= 10);
    CHECK(lines.empty());
    CHECK(catalogue.conflicts().empty());
}
