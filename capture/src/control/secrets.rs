//! What is done with secrets besides capturing: the redactor a capture starts with, trying a policy, changing the key.
//!
//! Invariant: a policy or a key that is not sound stops a start before anything was read.

use std::{
    io::{self, Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use common::limits::HEAD_BYTES_MAX;
use tracing::{info, warn};

use crate::{
    redact::{Key, Policy, Redactor, key::KEY_BYTES},
    settings::{RedactJob, RedactSettings},
};

/// Tokens of this key are for looking at.
const EXAMPLE_KEY: [u8; KEY_BYTES] = *b"hdrcap redact: an example's key.";

/// The redactor a capture starts with.
pub(super) fn redactor(redact: &RedactSettings) -> anyhow::Result<Redactor> {
    match redact {
        RedactSettings::Tokens { key_file, policy_file } => {
            let policy = policy(policy_file.as_deref())?;
            let redactor = Redactor::new(policy, Key::load_or_create(key_file)?);
            info!(policy = redactor.policy_name(), "secrets are replaced");
            Ok(redactor)
        }
        RedactSettings::Off => {
            warn!("redaction is off: credentials and cookies are stored as they are");
            Ok(Redactor::new(Policy::off(), Key::from_bytes([0; 32])))
        }
    }
}

fn policy(file: Option<&Path>) -> anyhow::Result<Policy> {
    Ok(file.map(Policy::load).transpose()?.unwrap_or_default())
}

/// Shows what would be stored of the head on standard input.
pub fn redact(job: &RedactJob) -> anyhow::Result<ExitCode> {
    let policy = policy(job.policy_file.as_deref())?;
    let key = match &job.key_file {
        Some(path) => Key::load(path)?,
        None => Key::from_bytes(EXAMPLE_KEY),
    };
    let mut head = Vec::new();
    let mut taken = io::stdin().take(u64::from(HEAD_BYTES_MAX));
    taken.read_to_end(&mut head).context("standard input cannot be read")?;
    let head = with_line_ends(&head);
    let explanation = Redactor::new(policy, key).explain(&head).map_err(|_malformed| {
        anyhow!(
            "standard input does not begin with an HTTP/1.1 request or status line; try\n  \
             printf 'GET /?token=x HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' | hdrcap redact --explain"
        )
    })?;
    let text = if job.explains { explanation.to_string() } else { explanation.stored() };
    io::stdout().write_all(text.as_bytes()).context("the explanation could not be printed")?;
    Ok(ExitCode::SUCCESS)
}

/// Gives lines that end in LF alone, as a text editor leaves them, the CRLF of the wire, where all do.
fn with_line_ends(head: &[u8]) -> Vec<u8> {
    if memchr::memchr(b'\r', head).is_some() {
        return head.to_vec();
    }
    let lines = head.split_inclusive(|&byte| byte == b'\n');
    let lines = lines.flat_map(|line| match line.strip_suffix(b"\n") {
        Some(text) => [text, b"\r\n"],
        None => [line, b""],
    });
    lines.flatten().copied().collect()
}

/// Prints the id of a key.
pub fn key_id(path: &Path) -> anyhow::Result<ExitCode> {
    writeln!(io::stdout(), "{}", Key::load(path)?.id()).context("the id could not be printed")?;
    Ok(ExitCode::SUCCESS)
}

/// Puts a new key in the place of the old one.
pub fn rotate_key(path: &Path) -> anyhow::Result<ExitCode> {
    let rotated = Key::rotate(path)?;
    writeln!(
        io::stdout(),
        "the key in {} has the id {} now; the old one, {}, is kept in {}\n\
         a capture that is running goes on with the old one until it is started again",
        path.display(),
        rotated.new_id,
        rotated.old_id,
        rotated.old_path.display()
    )
    .context("the report could not be printed")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_out_of_an_editor_get_the_line_ends_of_the_wire() {
        assert_eq!(with_line_ends(b"GET / HTTP/1.1\nA: b\n\n"), b"GET / HTTP/1.1\r\nA: b\r\n\r\n");
        assert_eq!(with_line_ends(b"a\r\nb\n"), b"a\r\nb\n");
        assert_eq!(with_line_ends(b"a\nb"), b"a\r\nb");
    }
}
