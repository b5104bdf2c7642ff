// A QED image: mapping, allocation and the order of metadata writes.
#pragma once

#include "imgtool/format.hpp"
#include "imgtool/formats/qed/qed_layout.hpp"
#include "imgtool/formats/shared/slice_cache.hpp"

#include <memory>
#include <vector>

namespace img::qed {

class QedImage final : public Image {
public:
    static Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file,
                                               OpenContext& context);
    ~QedImage() override;

    u64 size() const override { return header_.size; }
    ByteSource& file() override { return *file_; }
    Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) override;
    Result<Placement> place(GuestOffset from, u64 length) override;
    Status publish(const Placement& placement) override;
    void abandon(const Placement& placement) override;
    Result<u64> place_zeroes(GuestOffset from, u64 length) override;
    Status flush() override;
    ImageInfo info() override;
    Status resize(u64 size, Preallocate how) override;
    Status set_backing(const std::string& name, const std::string& format) override;
    Result<bool> make_empty() override;
    Result<CheckReport> check(Repair repair, const ProblemSink& problem) override;

private:
    QedImage(std::unique_ptr<ByteSource> file, Header header);

    bool has_backing() const { return !header_.backing_name.empty(); }
    Status prepare_for_writing();
    Status find_end();
    Result<u64> load(u64 at);
    Status store(u64 at, u64 entry);
    bool is_cluster(u64 at, u64 bytes) const;
    Status check_data(u64 at, u64 bytes) const;

    /// Where the L2 entry for `guest` is.
    struct L2Place {
        u64 entry_at; // file offset; 0: there is no table
        u64 left;     // entries from it to the end of the table
    };
    Result<L2Place> l2_place(u64 guest);
    Result<L2Place> l2_place_for_write(u64 guest);
    Result<u64> data_entry(u64 at, u64 guest);
    Result<u64> count_alike(const L2Place& place, u64 first, u64 wanted);
    Result<u64> zero_entries(const L2Place& place, u64 guest, u64 length);
    Status zero_new_range(u64 from, u64 to);
    Result<u64> take(u64 clusters);
    Status mark(u64 features);
    Status write_header();

    // Check (qed_check.cpp).
    struct Finding;
    Status check_l1(Finding& finding);
    Status check_l2(Finding& finding, u64 table);
    bool use(Finding& finding, u64 at, u64 bytes);
    void count_leaks(Finding& finding);

    std::unique_ptr<ByteSource> file_;
    Header header_;
    SliceCache cache_;         // of both kinds of tables
    u64 end_;                  // where the next new cluster goes
    bool wrote_data_ = false;  // since the last flush
    bool dirty_by_us_ = false; // the need-check mark is ours to take away
};

} // namespace img::qed
