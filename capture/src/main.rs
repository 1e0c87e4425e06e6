//! hdrcap: captures the heads of plaintext HTTP/1.1 messages into Parquet files.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use capture::{
    allocator, control,
    settings::{self, Environment, Job},
    view,
};

fn main() -> ExitCode {
    allocator::map_large_pieces();
    let job = match settings::parse(std::env::args_os(), &Environment::of_process()) {
        Ok(job) => job,
        Err(error) => error.exit(),
    };
    let ended = match job {
        Job::Capture(settings) => control::run(&settings),
        Job::Recover { dir, encryption_keys } => control::dataset::recover(&dir, encryption_keys.as_deref()),
        Job::Verify { dir, heads, encryption_keys } => {
            control::dataset::verify(&dir, &heads, encryption_keys.as_deref())
        }
        Job::Compact { dir, zstd_level, encryption_keys } => {
            control::dataset::compact(&dir, zstd_level, encryption_keys.as_deref())
        }
        Job::Files { dir, waiting } => control::dataset::files(&dir, waiting.as_ref()),
        Job::Redact(job) => control::secrets::redact(&job),
        Job::KeyId(path) => control::secrets::key_id(&path),
        Job::KeyRotate(path) => control::secrets::rotate_key(&path),
        Job::Top(settings) => view::top::top(&settings),
        Job::Tail(settings) => view::tail::tail(&settings),
        Job::KeyEncryption { file, keys } => control::encryption::make_keys(&file, &keys),
        Job::Doctor { ifaces, security } => control::doctor::doctor(&ifaces, security),
    };
    ended.unwrap_or_else(|error| {
        // The whole chain of causes on one line; there is nowhere else to tell where standard error is closed.
        writeln!(io::stderr(), "hdrcap: {error:#}").unwrap_or_default();
        ExitCode::FAILURE
    })
}
