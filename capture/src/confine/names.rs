//! Users and groups by name, as the C library knows them, wherever this system keeps them.
//!
//! Called at start, from the only thread there is: the C library's answers are good until the next question.

use std::{
    ffi::{CStr, CString},
    ptr::NonNull,
};

/// Groups of one user at the most.
const GROUP_COUNT_MAX: usize = 256;

/// A user the system knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) name: String,
}

/// The user of this name.
pub(super) fn user_by_name(name: &str) -> Option<User> {
    let name = CString::new(name).ok()?;
    // SAFETY: a NUL-terminated name; the answer is copied before anybody asks again.
    user(unsafe { libc::getpwnam(name.as_ptr()) })
}

/// The user of this number.
pub(super) fn user_by_number(uid: u32) -> Option<User> {
    // SAFETY: takes no pointer; the answer is copied before anybody asks again.
    user(unsafe { libc::getpwuid(uid) })
}

fn user(found: *mut libc::passwd) -> Option<User> {
    let found = NonNull::new(found)?;
    // SAFETY: the C library's answer, whole until the next question.
    let found = unsafe { found.as_ref() };
    // SAFETY: the name of an answer is NUL-terminated.
    let name = unsafe { CStr::from_ptr(found.pw_name) };
    Some(User { uid: found.pw_uid, gid: found.pw_gid, name: name.to_string_lossy().into_owned() })
}

/// The number of the group of this name.
pub(super) fn group_by_name(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a NUL-terminated name; the answer is copied before anybody asks again.
    let found = NonNull::new(unsafe { libc::getgrnam(name.as_ptr()) })?;
    // SAFETY: the C library's answer, whole until the next question.
    Some(unsafe { found.as_ref() }.gr_gid)
}

/// All groups of a user, its own among them; that alone where there are more than fit.
pub(super) fn groups_of(user: &User) -> Vec<u32> {
    let Ok(name) = CString::new(user.name.as_str()) else { return vec![user.gid] };
    let mut groups = [0; GROUP_COUNT_MAX];
    let mut count = GROUP_COUNT_MAX as libc::c_int;
    // SAFETY: a NUL-terminated name, and room for as many groups as is said.
    let status = unsafe { libc::getgrouplist(name.as_ptr(), user.gid, groups.as_mut_ptr(), &mut count) };
    match usize::try_from(count) {
        Ok(count) if status >= 0 && count <= GROUP_COUNT_MAX => groups[..count].to_vec(),
        Ok(_) | Err(_) => vec![user.gid],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_both_ways() {
        let root = user_by_name("root").expect("there is root");
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(user_by_number(0), Some(root.clone()));
        assert_eq!(group_by_name("root"), Some(0));
        assert!(groups_of(&root).contains(&0));
        assert_eq!(user_by_name("no such user"), None);
        assert_eq!(user_by_name("\0"), None);
        assert_eq!(group_by_name("no such group"), None);
    }
}
