//! The public captures beside the repository, read in place; a clone that stands alone has none.

use std::path::PathBuf;

use crate::{say, tree};

/// The corpus's folder; where there is none, says which test is left out.
#[must_use]
pub fn folder(test: &str) -> Option<PathBuf> {
    let folder = tree::root().join("../shared/corpus");
    if folder.is_dir() {
        return Some(folder);
    }
    say(&format!("left out, no public captures beside this tree: {test}"));
    None
}

/// The captures; where there are none, says which test is left out.
#[must_use]
pub fn captures(test: &str) -> Option<Vec<PathBuf>> {
    Some(tree::files(&folder(test)?.join("pcap"), ""))
}
