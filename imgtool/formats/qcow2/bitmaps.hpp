// The persistent dirty bitmaps of an image.
//
// Every change writes new clusters, a new table and a new directory; the header's one write makes
// them the image's, and then the old ones are given back. A bitmap that follows writes is kept in
// memory from the first write on; meanwhile its entry says "in use" (qcow2.txt, "Bitmaps"), so that
// a cut leaves one that is known not to be right. It is stored when the image is closed.
#pragma once

#include "imgtool/bitmap.hpp"
#include "imgtool/formats/qcow2/bitmap_directory.hpp"

#include <map>

namespace img::qcow2 {

class Qcow2Image;

class Bitmaps final : public BitmapStore {
public:
    Bitmaps(Qcow2Image& image, BitmapDirectory directory)
        : image_{image}, directory_{std::move(directory)}
    {}

    std::vector<BitmapInfo> list() override;
    bool can_add() const override;
    Status add(const std::string& name, u64 granularity, bool enabled) override;
    Status remove(const std::string& name) override;
    Status clear(const std::string& name) override;
    Status set_enabled(const std::string& name, bool enabled) override;
    Result<std::vector<bool>> load(const std::string& name) override;
    Status merge(const std::string& name, const std::vector<bool>& bits, u64 granularity) override;

    bool empty() const { return directory_.bitmaps.empty(); }
    /// Before bytes of the disk are written: bitmaps that follow writes are marked, and noted as in
    /// use in the file.
    Status note_write(u64 offset, u64 length);
    /// Stores what note_write() marked.
    Status store_marked();

    /// Writes all bitmaps anew for another disk size, and names them in `header`, which is to be
    /// written next. Then release_old() gives the former ones back. Refused while one is in use.
    Status prepare_resize(u64 new_size, Header& header);
    Status release_old();

private:
    using Bits = std::vector<u8>; // the lowest bit of a byte first

    Result<std::size_t> find(const std::string& name, bool must_be_usable);
    Result<Bits> read_bits(const StoredBitmap& bitmap);
    Status write_bits(StoredBitmap& bitmap, const Bits& bits);
    Status prepare(std::vector<StoredBitmap> next, Header& header);
    Status store(std::vector<StoredBitmap> next);
    Status store_whole(std::vector<StoredBitmap> next);
    Status store_with(std::vector<StoredBitmap> next, std::size_t index, const Bits& bits);
    Status release_table(const StoredBitmap& bitmap);
    Status begin_marking();
    Bits no_bits(const StoredBitmap& bitmap) const;

    Qcow2Image& image_;
    BitmapDirectory directory_;
    BitmapDirectory next_; // the image's, once the header names it
    bool marking_ = false;
    std::map<std::size_t, Bits> marked_; // by index in the directory
};

} // namespace img::qcow2
