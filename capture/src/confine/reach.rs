//! Landlock: which files the process reaches, and that it reaches no other process and no network.
//!
//! Rules name folders by descriptor, so what is put in a folder's place later is not reached.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::{Needs, State};

/// The rights this was tested with; what later kernels add would be refused unseen.
const RIGHTS: ABI = ABI::V6;

/// What is read besides what the needs name: the process's own figures, and those of the cards.
const READS_ALWAYS: [&str; 1] = ["/proc/self"];
const READS_LIVE: [&str; 3] = ["/proc/net", "/sys/class/net", "/sys/devices"];

/// Names of machines, and the certificates they show.
const READS_CONNECTING: [&str; 4] =
    ["/etc", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/run/systemd/resolve"];

pub(super) fn restrict(needs: &Needs) -> State {
    match ruleset(needs).and_then(RulesetCreated::restrict_self) {
        Ok(status) => told(&status),
        Err(error) => State::Missing(format!(
            "this kernel has none that lets files be renamed between folders, which 5.19 has ({error})"
        )),
    }
}

fn ruleset(needs: &Needs) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default()
        // Without the right to give, files in progress could not be published.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RIGHTS))?
        .scope(Scope::from_all(RIGHTS))?;
    if !needs.connects {
        ruleset = ruleset.handle_access(AccessNet::from_all(RIGHTS))?;
    }
    let mut created = ruleset.create()?;
    let always: &[&str] = &READS_ALWAYS;
    let live: &[&str] = if needs.is_live { &READS_LIVE } else { &[] };
    let connecting: &[&str] = if needs.connects { &READS_CONNECTING } else { &[] };
    let named = [always, live, connecting].concat().into_iter().map(PathBuf::from);
    for path in named.chain(needs.reads.iter().cloned()) {
        created = allow(created, &path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    for folder in &needs.removals {
        created = allow(created, folder, AccessFs::RemoveFile.into())?;
    }
    for folder in &needs.folders {
        created = allow(created, folder, writing())?;
    }
    Ok(created)
}

/// What is not there needs no rule.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(opened) => {
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(RIGHTS) };
            ruleset.add_rule(PathBeneath::new(opened, access))
        }
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "not there, and so not reached");
            Ok(ruleset)
        }
    }
}

/// Everything that is done below the dataset's folder: no program is run there, no link or device made.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

fn told(status: &RestrictionStatus) -> State {
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => format!("{effective_abi:?}"),
        LandlockStatus::NotEnabled => {
            return State::Missing("it is off on this kernel (see lsm= at its start)".to_owned());
        }
        LandlockStatus::NotImplemented => return State::Missing("this kernel has none".to_owned()),
    };
    match status.ruleset {
        RulesetStatus::FullyEnforced => State::InForce(format!("files, network and processes, ABI {abi}")),
        RulesetStatus::PartiallyEnforced => {
            State::InForce(format!("files, and what else this kernel can, ABI {abi}"))
        }
        RulesetStatus::NotEnforced => State::Missing("the kernel enforces nothing of it".to_owned()),
    }
}
