// A machine: a folder with overlays over the store's read-only media, and the command that runs it.
#pragma once

#include "zoo/fetch/fetcher.hpp"
#include "zoo/host/file.hpp"

#include <string>
#include <vector>

namespace zoo {

/// What a recipe's names stand for, once fetched and built.
class Materials {
public:
    /// Makes what [[build]] describes, and puts it into the store.
    static base::Result<Materials> gather(const Store& store, const Recipe& recipe,
                                          const FetchedSet& fetched);

    /// Digest of a media or build; it exists (the recipe was checked).
    const std::string& digest(const std::string& name) const { return digests_.at(name); }
    std::filesystem::path path(const std::string& name) const;

private:
    explicit Materials(const Store& store) : store_{&store} {}
    const Store* store_;
    std::map<std::string, std::string> digests_;
};

enum class Reuse { keep, fresh };

class MachineFolder {
public:
    /// Makes the folder and its overlays, or reuses them. Errors: `invalid_argument` when it is in
    /// use, or when it was made from other media than the recipe has now.
    static base::Result<MachineFolder> open(const std::filesystem::path& folder,
                                            const Recipe& recipe, const Materials& materials,
                                            Reuse reuse);

    const std::filesystem::path& path() const { return folder_; }
    /// The image that the drive uses: its overlay, or the medium itself where it is read-only.
    std::filesystem::path image(const Drive& drive) const;

private:
    MachineFolder(std::filesystem::path folder, FileLock lock)
        : folder_{std::move(folder)}, lock_{std::move(lock)}
    {}
    std::filesystem::path folder_;
    FileLock lock_; // held for as long as the machine may run
};

/// Digests that the machines below the folder are built on.
std::vector<std::string> digests_in_use(const std::filesystem::path& machines);

/// The emulator: MENAGERIE_EMULATOR, or the program beside ours.
base::Result<std::filesystem::path> find_emulator();

/// The part of the command line that the recipe determines.
std::vector<std::string> emulator_command(const std::filesystem::path& emulator,
                                          const Recipe& recipe, const Materials& materials,
                                          const MachineFolder& machine);

/// The recipe's [run] as a script for the emulator.
std::string script_text(const Recipe& recipe);

} // namespace zoo
