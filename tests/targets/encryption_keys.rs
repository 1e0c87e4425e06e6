//! Key files of encryption at rest: any text is a ring, which is written and read as itself and has the keys it names, or is
//! refused with a reason that holds no key.

use storage::encrypt::Keyring;

/// Shortest run of a key's text that a reason must not hold.
const TOLD_BYTES_MAX: usize = 12;

/// The input is the file.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Keyring::parse(text) {
        Ok(ring) => {
            let written = ring.text();
            let again = Keyring::parse(&written).expect("what was written is a key file");
            assert_eq!(again.text(), written);
            assert!(ring.footer_id().is_some_and(|id| ring.ids().any(|known| known == id)));
            let rotated = ring.rotated();
            assert!(ring.ids().all(|id| rotated.ids().any(|known| known == id)), "no key is lost");
            assert_ne!(rotated.footer_id(), ring.footer_id());
        }
        Err(why) => {
            let why = why.to_string();
            assert!(!why.is_empty());
            for key in keys(text) {
                assert!(!why.contains(&key[..TOLD_BYTES_MAX]), "{why:?} tells of {key}");
            }
        }
    }
}

/// What looks like a key: between quotes behind an equals sign, as long as 32 bytes in base64.
fn keys(text: &str) -> impl Iterator<Item = &str> {
    let quoted =
        text.lines().filter_map(|line| line.split_once('=')?.1.trim().strip_prefix('"')?.strip_suffix('"'));
    quoted.filter(|value| value.len() == 44 && value.is_ascii() && value.ends_with('='))
}
