//! Free space of a filesystem; one of the two files here with `unsafe`.

use std::{ffi::CString, io, mem::MaybeUninit, os::unix::ffi::OsStrExt, path::Path};

/// Bytes an unprivileged process may still write to the filesystem of `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    Ok(disk_room(path)?.0)
}

/// Bytes an unprivileged process may still write to the filesystem of `path`, and the size of it.
pub fn disk_room(path: &Path) -> io::Result<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is NUL-terminated and `stat` is large enough for the kernel's answer; both outlive the call.
    let status = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statvfs returned 0 and so filled the structure.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_space_and_a_missing_one_is_an_error() {
        assert!(free_bytes(Path::new("/")).is_ok_and(|bytes| bytes > 0));
        let missing = free_bytes(Path::new("/no/such/folder")).expect_err("there is no such folder");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
