//! What the kernel says of a thing, in the port's words. Touches the disk by its types alone.

use rustix::fs::{FileType, Stat as RawStat, major, minor};

use crate::format::tree::{Device, HardLink, Time};
use crate::ops::source::{Kind, Stat};

/// What it is; `None` for kinds that nobody knows.
pub(super) fn kind(raw: &RawStat) -> Option<Kind> {
    let device = || Device { major: major(raw.st_rdev), minor: minor(raw.st_rdev) };
    Some(match FileType::from_raw_mode(raw.st_mode) {
        FileType::RegularFile => Kind::File { size: Some(size(raw)) },
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::CharDevice(device()),
        FileType::BlockDevice => Kind::BlockDevice(device()),
        FileType::Unknown => return None,
    })
}

/// Its metadata.
pub(super) fn stat(raw: &RawStat) -> Stat {
    let is_dir = FileType::from_raw_mode(raw.st_mode) == FileType::Directory;
    let linked = raw.st_nlink > 1 && !is_dir;
    Stat {
        mode: raw.st_mode & 0o7777,
        uid: raw.st_uid,
        gid: raw.st_gid,
        mtime: mtime(raw),
        ctime: time(raw.st_ctime, raw.st_ctime_nsec),
        inode: raw.st_ino,
        hard_link: linked.then_some(HardLink { device: raw.st_dev, inode: raw.st_ino }),
    }
}

/// Its length in bytes.
pub(super) fn size(raw: &RawStat) -> u64 {
    u64::try_from(raw.st_size).unwrap_or(0)
}

/// When its content last changed.
pub(super) fn mtime(raw: &RawStat) -> Time {
    time(raw.st_mtime, raw.st_mtime_nsec)
}

/// Some network file systems report nanoseconds that a second does not have; the format does not.
fn time(secs: i64, nanos: impl TryInto<u32>) -> Time {
    Time { secs, nanos: nanos.try_into().map_or(0, |nanos| nanos.min(999_999_999)) }
}
