//! Seccomp: the system calls the process makes once it is confined; every other one is refused with EPERM.
//!
//! Refused, not killed: a C library that tries a call we do not know takes its other way, and months of capture do not
//! end over it. An io_uring passes by this filter, so the ring is restricted by itself (storage's file/ring.rs) and no
//! other can be made.

use std::collections::BTreeMap;

use libc::{c_int, c_long};
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::{Needs, State};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Allowed whatever the arguments are.
#[rustfmt::skip]
const PLAIN: &[c_long] = &[
    // files, below the folders that Landlock leaves
    libc::SYS_openat, libc::SYS_close, libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev,
    libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_lseek, libc::SYS_fstat,
    libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_statfs, libc::SYS_fstatfs, libc::SYS_getdents64,
    libc::SYS_readlinkat, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_getcwd, libc::SYS_mkdirat,
    libc::SYS_unlinkat, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_linkat, libc::SYS_ftruncate,
    libc::SYS_fallocate, libc::SYS_fadvise64, libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range,
    libc::SYS_flock, libc::SYS_fcntl, libc::SYS_copy_file_range, libc::SYS_sendfile, libc::SYS_splice,
    libc::SYS_io_uring_enter,
    // memory
    libc::SYS_brk, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_mlock, libc::SYS_munlock,
    // threads and waiting
    libc::SYS_futex, libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq, libc::SYS_membarrier,
    libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity, libc::SYS_getcpu,
    libc::SYS_gettid, libc::SYS_getpid, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_restart_syscall,
    libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_clock_gettime, libc::SYS_clock_getres,
    libc::SYS_gettimeofday, libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_epoll_create1, libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_pipe2, libc::SYS_dup, libc::SYS_dup3,
    // signals to itself
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_sigaltstack,
    // what it may know
    libc::SYS_getrandom, libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_getrusage, libc::SYS_times, libc::SYS_getuid,
    libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid,
    // connections that others made to sockets bound before
    libc::SYS_accept, libc::SYS_accept4, libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_shutdown, libc::SYS_getsockopt,
    libc::SYS_setsockopt, libc::SYS_getsockname, libc::SYS_getpeername,
];

/// The same calls in the forms that only older architectures have.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLD_FORMS: &[c_long] = &[
    libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_mkdir, libc::SYS_rmdir,
    libc::SYS_unlink, libc::SYS_rename, libc::SYS_link, libc::SYS_readlink, libc::SYS_poll, libc::SYS_select,
    libc::SYS_epoll_wait, libc::SYS_pipe, libc::SYS_dup2, libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_FORMS: &[c_long] = &[];

/// Requests to devices: the terminal's, and that a socket shall not block.
const IOCTLS: [u64; 4] = [libc::TCGETS, TCGETS2, libc::TIOCGWINSZ, libc::FIONBIO];
const TCGETS2: u64 = 0x802c_542a;
/// Reads a card's settings and counters; changing any takes a capability.
const SIOCETHTOOL: u64 = 0x8946;

const BPF_MAP_LOOKUP_ELEM: u64 = 1;
const BPF_MAP_UPDATE_ELEM: u64 = 2;
const BPF_MAP_LOOKUP_BATCH: u64 = 24;
/// Names a part of memory.
const PR_SET_VMA: u64 = 0x5356_4d41;

/// Low bits of a socket's type; above them are flags.
const SOCKET_TYPE_MASK: u64 = 0xf;

pub(super) fn restrict(needs: &Needs) -> State {
    match filters(needs)
        .and_then(|filters| filters.iter().try_for_each(|filter| apply_filter_all_threads(filter)))
    {
        Ok(()) => {
            State::InForce(format!("{} system calls are left", PLAIN.len() + OLD_FORMS.len() + GUARDED_COUNT))
        }
        Err(error) => State::Missing(format!("the kernel does not take the filter ({error})")),
    }
}

/// System calls that are allowed with some arguments.
const GUARDED_COUNT: usize = 11;

fn filters(needs: &Needs) -> Result<[BpfProgram; 2], Error> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let program = |rules, otherwise, matched| -> Result<BpfProgram, Error> {
        Ok(SeccompFilter::new(rules, otherwise, matched, architecture)?.try_into()?)
    };
    let refusal = SeccompAction::Errno(libc::EPERM as u32);
    // The arguments of clone3 are out of a filter's sight; told that there is none, the C library calls clone.
    let absent = SeccompAction::Errno(libc::ENOSYS as u32);
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    // The second one does not let a third one be set.
    Ok([
        program(clone3, SeccompAction::Allow, absent)?,
        program(allowed(needs)?, refusal, SeccompAction::Allow)?,
    ])
}

fn allowed(needs: &Needs) -> Result<Rules, Error> {
    let mut rules: Rules = PLAIN.iter().chain(OLD_FORMS).map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_clone3, Vec::new());
    // Threads, no processes.
    rules.insert(libc::SYS_clone, vec![when(&[bits(0, libc::CLONE_THREAD, libc::CLONE_THREAD)?])?]);
    // Memory that is never code.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![when(&[bits(2, libc::PROT_EXEC, 0)?])?]);
    }
    // Threads that want less of the processor; for more they would need a capability.
    let idle = vec![when(&[equal(1, libc::SCHED_IDLE as u64)?])?];
    rules.insert(libc::SYS_sched_setscheduler, idle);
    let own = vec![when(&[equal(0, u64::from(libc::PRIO_PROCESS))?, equal(1, 0)?])?];
    rules.insert(libc::SYS_setpriority, own);
    rules.insert(libc::SYS_tgkill, vec![when(&[equal(0, u64::from(std::process::id()))?])?]);
    rules.insert(libc::SYS_prlimit64, vec![when(&[null(2)?])?]);
    let names = [libc::PR_SET_NAME as u64, PR_SET_VMA];
    rules.insert(libc::SYS_prctl, one_of(0, &names)?);
    let pair = vec![when(&[equal(0, libc::AF_UNIX as u64)?])?];
    rules.insert(libc::SYS_socketpair, pair);
    // To whom the socket is connected, never to an address of the moment.
    rules.insert(libc::SYS_sendto, vec![when(&[null(4)?])?]);
    rules.insert(libc::SYS_ioctl, one_of(1, &IOCTLS)?);
    if needs.is_live {
        live(&mut rules)?;
    }
    if needs.connects {
        connecting(&mut rules)?;
    }
    Ok(rules)
}

/// Counters: of the kernel half through its maps, of the cards through netlink and ethtool.
fn live(rules: &mut Rules) -> Result<(), Error> {
    rules
        .insert(libc::SYS_bpf, one_of(0, &[BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_LOOKUP_BATCH])?);
    let asking = |socket_type: c_int| bits(1, SOCKET_TYPE_MASK as c_int, socket_type);
    let netlink = when(&[equal(0, libc::AF_NETLINK as u64)?, equal(2, libc::NETLINK_ROUTE as u64)?])?;
    let ethtool = when(&[equal(0, libc::AF_INET as u64)?, asking(libc::SOCK_DGRAM)?])?;
    rules.entry(libc::SYS_socket).or_default().extend([netlink, ethtool]);
    rules.entry(libc::SYS_ioctl).or_default().extend(one_of(1, &[SIOCETHTOOL])?);
    Ok(())
}

/// Connections to other machines, and asking for their addresses.
fn connecting(rules: &mut Rules) -> Result<(), Error> {
    for family in [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK] {
        let sockets = one_of(0, &[family as u64])?;
        rules.entry(libc::SYS_socket).or_default().extend(sockets);
    }
    for call in [libc::SYS_connect, libc::SYS_bind, libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_sendmmsg] {
        rules.insert(call, Vec::new());
    }
    Ok(())
}

fn when(conditions: &[SeccompCondition]) -> Result<SeccompRule, Error> {
    Ok(SeccompRule::new(conditions.to_vec())?)
}

fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, Error> {
    values.iter().map(|value| when(&[equal(argument, *value)?])).collect()
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, Error> {
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?)
}

/// The argument is no pointer.
fn null(argument: u8) -> Result<SeccompCondition, Error> {
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?)
}

/// The argument's bits under `mask` are those of `value`.
fn bits(argument: u8, mask: c_int, value: c_int) -> Result<SeccompCondition, Error> {
    let under = SeccompCmpOp::MaskedEq(mask as u64);
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Qword, under, value as u64)?)
}
